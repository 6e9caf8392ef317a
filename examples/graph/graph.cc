// A graph by hand: names the colours of pixels, as many as there are. A few ops build the graph,
// which is printed, compiled to a plan for the CPU, and run on one pixel and on four.
#include <cstdio>
#include <memory>
#include <vector>

#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/text.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/compile.h"

namespace modellib {
namespace {

constexpr const char* kNames[] = {"black", "white", "red", "green", "blue"};

absl::Status name_colours() {
  MODELLIB_ASSIGN_OR_RETURN(const Tensor palette, Tensor::of<float>({5, 3}, {0, 0, 0, 1, 1, 1, 1, 0,
                                                                             0, 0, 1, 0, 0, 0, 1}));
  GraphBuilder b(builtin_ops(), "colours");
  const Value pixels = b.input("pixels", {DType::kF32, {Dim::symbol("count"), 3}});
  const Value difference = unsqueeze(pixels, {1}) - b.constant(palette);  // [count,5,3]
  const Value distance = sqrt(reduce_sum(square(difference), {.axes = {2}}));
  b.output("nearest", argmin(distance, {.axis = 1}));
  b.output("distance", reduce_min(distance, {.axes = {1}}));
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, b.build());
  std::printf("%s", print(*graph, {.types = true}).c_str());

  CompileOptions options;
  options.dims["count"] = {1, 1000};
  MODELLIB_ASSIGN_OR_RETURN(
      const CompileResult compiled,
      compile(Program{{{"main", graph}}}, builtin_ops(), cpu::cpu_backend(), options));
  MODELLIB_ASSIGN_OR_RETURN(const auto plan, make_plan_file(compiled.lowered));
  MODELLIB_ASSIGN_OR_RETURN(const auto executable,
                            runtime::Executable::load(plan, cpu::cpu_kernel_table()));
  MODELLIB_ASSIGN_OR_RETURN(const auto session, runtime::Session::create(executable));
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, executable->entry("main"));

  const std::vector<float> photo = {0.9f, 0.2f, 0.1f, 0.1f, 0.1f, 0.1f,
                                    0.2f, 0.8f, 0.1f, 0.7f, 0.9f, 0.8f};
  for (const int64_t count : {1, 4}) {
    MODELLIB_RETURN_IF_ERROR(session->bind_input(entry, 0, photo.data(), {count, 3}));
    MODELLIB_RETURN_IF_ERROR(session->run(entry));
    const auto* nearest = reinterpret_cast<const int64_t*>(session->output_data(entry, 0));
    const auto* distance = reinterpret_cast<const float*>(session->output_data(entry, 1));
    std::printf("%d pixel(s):", static_cast<int>(count));
    for (int64_t i = 0; i < count; ++i) std::printf(" %s %.3f", kNames[nearest[i]], distance[i]);
    std::printf("\n");
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace modellib

int main() {
  const absl::Status status = modellib::name_colours();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
