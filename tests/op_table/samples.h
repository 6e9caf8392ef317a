// The samples of all ops as small graphs with inputs, the same in every process: what the op
// table's checks iterate over. A check of one's own (kernel = reference, a round trip) needs no
// more than
//
//   class MyCheck : public testing::TestWithParam<OpCase> {};
//   TEST_P(MyCheck, Holds) {
//     GraphRef graph = *sample_graph(GetParam());
//     std::vector<Tensor> inputs = *sample_inputs(GetParam());
//     …
//   }
//   INSTANTIATE_TEST_SUITE_P(OpTable, MyCheck, testing::ValuesIn(op_cases()), op_case_name);
#ifndef MODELLIB_TESTS_OP_TABLE_SAMPLES_H_
#define MODELLIB_TESTS_OP_TABLE_SAMPLES_H_

#include <iosfwd>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/tensor.h"

namespace modellib {

// One sample of one op.
struct OpCase {
  const OpDef* op;
  OpSample sample;
  std::string name() const;  // "matmul/transposed"
};
std::ostream& operator<<(std::ostream& out, const OpCase& c);

// Every sample of every op of the registry, sorted by op.
std::vector<OpCase> op_cases(const OpRegistry& registry);
std::vector<OpCase> op_cases();  // of the built-in ops

// For INSTANTIATE_TEST_SUITE_P: "matmul_transposed".
template <class Info>
std::string op_case_name(const Info& info) {
  std::string name = info.param.name();
  for (char& c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter) c = '_';
  }
  return name;
}

// The case with each f32, f16 and bf16 in its operands and attributes (regions included) widened to
// f64: for central differences.
OpCase in_f64(const OpCase& c);

// A graph of the op alone: inputs "in0", "in1", … (none for an absent operand), outputs "out0", ….
absl::StatusOr<GraphRef> sample_graph(const OpCase& c);

// Inputs of that graph, in its order, within the sample's domains; the same values for each element
// type as far as it can hold them. Drawn from the case's name and `seed`.
absl::StatusOr<std::vector<Tensor>> sample_inputs(const OpCase& c, uint64_t seed = 0);

// A tensor of uniform values from a stream of its own.
absl::StatusOr<Tensor> random_tensor(DType dtype, absl::Span<const int64_t> shape, double low,
                                     double high, const std::string& stream);

// Empty if `got` agrees with `expected`: same type and shape, and each element within `tolerance`,
// relative to the larger of 1 and the expected value's magnitude; NaN equals NaN, and integers and
// bools are exact. Else says where they differ most.
std::string difference(const Tensor& got, const Tensor& expected, double tolerance);

}  // namespace modellib

#endif  // MODELLIB_TESTS_OP_TABLE_SAMPLES_H_
