/* ModelLib's C API, second part: makes plans of models. It needs libmodellib (CMake's
 * modellib::modellib), which has all of modellib/modellib.h too; the conventions are those of that
 * header.
 *
 *   modellib_compile_options options = {.size = sizeof(options)};
 *   modellib_dim_range batch = {"batch", 1, 32};
 *   options.dims = &batch;
 *   options.dim_count = 1;
 *   modellib_plan* plan;
 *   if (modellib_compile_file("resnet50.onnx", &options, &plan) == MODELLIB_OK) {
 *     modellib_plan_write(plan, "resnet50.mlplan");
 *   } */
#ifndef MODELLIB_COMPILER_H_
#define MODELLIB_COMPILER_H_

#include "modellib/modellib.h"

/* NOLINTBEGIN(readability-identifier-naming): the names of a C library */

#ifdef __cplusplus
extern "C" {
#endif

/* The values that a free dimension of the model may have; min == max makes it static. */
typedef struct modellib_dim_range {
  const char* name;
  int64_t min, max;
} modellib_dim_range;

typedef struct modellib_compile_options {
  size_t size;
  /* Free dimensions keep the model's own bounds where they are not here; one without bounds is an
   * error. Each at most once. */
  const modellib_dim_range* dims;
  size_t dim_count;
  /* Intermediate values, by their names in the model, that the plan has as further outputs, in
   * every entry with such a value. NOT_FOUND for a name that no entry has. */
  const char* const* keep;
  size_t keep_count;
  /* Names of passes to leave out. */
  const char* const* disabled_passes;
  size_t disabled_pass_count;
  /* Not 0: the model's bytes may be hostile. Containers are copied and their checksums compared. */
  int32_t untrusted;
  const modellib_log* log;
} modellib_compile_options;

/* A model of any form: ONNX, native (.mlmodel) or text (.mltxt), told apart by content. The
 * compiling process can run the plan at once. A fork on another thread waits until the model is
 * compiled, for ten seconds at most (see modellib.h). NOT_FOUND and the like for the file;
 * INVALID_ARGUMENT where the model or the options are at fault, naming the place; UNIMPLEMENTED,
 * listing all nodes that are not supported. */
MODELLIB_API modellib_status modellib_compile_file(const char* path,
                                                   const modellib_compile_options* options,
                                                   modellib_plan** plan);
/* The same from memory, which is not needed after. Text that names tensors of a companion file, and
 * ONNX with external data, want a file. */
MODELLIB_API modellib_status modellib_compile_memory(const void* data, size_t bytes,
                                                     const modellib_compile_options* options,
                                                     modellib_plan** plan);

/* As a file (.mlplan), which is written beside and renamed; any plan that was loaded will do. */
MODELLIB_API modellib_status modellib_plan_write(const modellib_plan* plan, const char* path);
/* As bytes, which `write` receives in pieces, in order; another status than MODELLIB_OK ends it. */
MODELLIB_API modellib_status modellib_plan_serialize(
    const modellib_plan* plan, modellib_status (*write)(void* user, const void* data, size_t bytes),
    void* user);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* NOLINTEND(readability-identifier-naming) */

#endif /* MODELLIB_COMPILER_H_ */
