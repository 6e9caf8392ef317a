// Writes the plan that tests load where no compiler is: write_plans FILE. It is y = x w, x:
// f32[64,512], w all 1.
#include <cstdio>
#include <string>
#include <vector>

#include "modellib/graph/builder.h"
#include "modellib/graph/tensor.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/lower.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

absl::Status write(const std::string& path) {
  constexpr int64_t kRows = 64, kWidth = 512;
  const std::vector<float> ones(static_cast<size_t>(kWidth * kWidth), 1.0F);
  GraphBuilder builder(builtin_ops(), "main");
  const Value x = builder.input("x", {DType::kF32, {Dim(kRows), Dim(kWidth)}});
  const Value weights = builder.constant(*Tensor::of<float>({kWidth, kWidth}, ones));
  builder.output("y", matmul(x, weights));
  const absl::StatusOr<GraphRef> graph = builder.build();
  if (!graph.ok()) return graph.status();
  const absl::StatusOr<CpuProgram> program = compile_for_cpu(*graph);
  if (!program.ok()) return program.status();
  const auto file = make_plan_file(program->compiled.lowered);
  return file.ok() ? (*file)->write(path) : file.status();
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const absl::Status status = modellib::write(argv[1]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
