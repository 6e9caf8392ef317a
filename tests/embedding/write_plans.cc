// Writes the plans that tests load where no compiler is: write_plans ONES WEIGHTS
//   ONES     y = x w, x: f32[64,512], w all 1
//   WEIGHTS  y = x w, x: f32[1,3600], w of 52 MB
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

absl::Status write(const std::string& path, int64_t rows, int64_t width, float step) {
  std::vector<float> w(static_cast<size_t>(width * width));
  for (size_t i = 0; i < w.size(); ++i) w[i] = 1.0f + step * static_cast<float>(i % 1009);
  GraphBuilder builder(builtin_ops(), "main");
  const Value x = builder.input("x", {DType::kF32, {Dim(rows), Dim(width)}});
  const Value weights = builder.constant(*Tensor::of<float>({width, width}, w));
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
  if (argc != 3) return 2;
  absl::Status status = modellib::write(argv[1], 64, 512, 0);
  if (status.ok()) status = modellib::write(argv[2], 1, 3600, 0.25f);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
