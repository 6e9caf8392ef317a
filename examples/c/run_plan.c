/* Runs the first entry of a plan on one row of ones, in plain C: run_plan PLAN
 *
 *   cc -std=c11 run_plan.c $(pkg-config --cflags --libs modellib-runtime) -o run_plan */
#include <inttypes.h>
#include <modellib/modellib.h>
#include <stdio.h>
#include <stdlib.h>

static void log_line(void* user, modellib_log_level level, const char* text) {
  (void)level;
  fprintf(user, "%s\n", text);
}

/* A free dim is 1 here. Returns the number of elements. */
static size_t choose_extents(const modellib_tensor_info* info, int64_t* extents) {
  size_t elements = 1;
  for (int32_t d = 0; d < info->rank; ++d) {
    extents[d] = info->dims[d] >= 0 ? 1 : info->max_extents[d];
    elements *= (size_t)extents[d];
  }
  return elements;
}

static modellib_status run(const modellib_plan* plan, modellib_session* session) {
  modellib_tensor_info info = {.size = sizeof(info)};
  modellib_status status = modellib_plan_input(plan, 0, 0, &info);
  if (status != MODELLIB_OK) return status;
  int64_t* extents = calloc((size_t)info.rank + 1, sizeof(*extents));
  const size_t elements = choose_extents(&info, extents);
  float* input = malloc(elements * sizeof(*input) + 1);
  for (size_t i = 0; i < elements; ++i) input[i] = 1.0f;

  status = modellib_session_bind_input(session, 0, 0, input, extents, info.rank);
  if (status == MODELLIB_OK) status = modellib_session_run(session, 0, NULL);
  modellib_tensor output = {.size = sizeof(output)};
  if (status == MODELLIB_OK) status = modellib_session_output(session, 0, 0, &output);
  if (status == MODELLIB_OK) {
    printf("%s of %" PRIu64 " bytes:", info.name, info.max_bytes);
    for (size_t i = 0; i < output.bytes / sizeof(float); ++i) {
      printf(" %g", ((const float*)output.data)[i]);
    }
    printf("\n");
  }
  free(input);
  free(extents);
  return status;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: run_plan PLAN\n");
    return 2;
  }
  const modellib_log log = {.size = sizeof(log), .write = log_line, .user = stderr};
  const modellib_load_options options = {.size = sizeof(options), .log = &log};
  modellib_plan* plan = NULL;
  modellib_session* session = NULL;
  modellib_status status = modellib_plan_load_file(argv[1], &options, &plan);
  if (status == MODELLIB_OK) status = modellib_session_create(plan, NULL, &session);
  if (status == MODELLIB_OK) status = run(plan, session);
  if (status != MODELLIB_OK) {
    fprintf(stderr, "%s: %s\n", modellib_status_name(status), modellib_error_message());
  }
  modellib_session_free(session);
  modellib_plan_free(plan);
  return status == MODELLIB_OK ? 0 : 1;
}
