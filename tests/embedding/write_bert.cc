// write_bert FILE: the plan of BERT-base for one text of 16 tokens, its weights of 438 MB in it.
// They are made up: what shares them does not ask what they mean.
#include <cstdint>
#include <cstdio>
#include <string>

#include "modellib/frontends/models/language/bert.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/tensor.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/freeze.h"
#include "modellib/passes/lower.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

// Tensors of different numbers differ: equal constants are kept once.
absl::StatusOr<Tensor> small_numbers(const Variable& variable, int64_t number) {
  MODELLIB_ASSIGN_OR_RETURN(Tensor tensor,
                            Tensor::zeros(DType::kF32, *static_extents(variable.type.shape)));
  auto* const data = reinterpret_cast<float*>(tensor.mutable_data());
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    data[i] = static_cast<float>((i + number) % 1009 - 504) * 1e-4F;
  }
  return tensor;
}

absl::Status write(const std::string& path) {
  language::BERT model;
  model.name_parameters();
  model.eval();
  GraphBuilder builder(builtin_ops(), "main");
  builder.output("hidden", model.forward(builder.input("ids", {DType::kI64, {1, 16}})));
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, builder.build());
  int64_t number = 0;
  const auto contents = [&](const Variable& variable) { return small_numbers(variable, number++); };
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef frozen, freeze(*graph, builtin_ops(), contents));
  MODELLIB_ASSIGN_OR_RETURN(const CpuProgram program, compile_for_cpu(frozen));
  MODELLIB_ASSIGN_OR_RETURN(const auto file, make_plan_file(program.compiled.lowered));
  return file->write(path);
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const absl::Status status = modellib::write(argv[1]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
