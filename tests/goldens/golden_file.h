// Reads the op goldens: what PyTorch computes for an operation, forward and backward, on small
// arrays. README.md documents the JSON form and ops.py writes it. A test loads a file, runs each
// case and compares:
//
//   absl::StatusOr<OpGolden> golden = load_op_golden("tests/goldens/ops/softmax.json");
//   for (const OpCase& c : golden->cases) {
//     int64_t dim = c.attrs.integer("dim").value();
//     const GoldenTensor& x = *c.input("x");
//     ...compare with c.outputs[0].data
//   }

#ifndef MODELLIB_TESTS_GOLDENS_GOLDEN_FILE_H_
#define MODELLIB_TESTS_GOLDENS_GOLDEN_FILE_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace modellib::goldens {

// A small array, row-major. `data` holds every dtype as doubles: bool as 0 and 1, and i64 exactly,
// since no golden needs more than 2^53. Infinities and NaN occur.
struct GoldenTensor {
  std::string name;
  std::string dtype;  // "f32", "i64" or "bool": what an engine would be given or would return
  std::vector<int64_t> shape;
  std::vector<double> data;

  // `data` as f32. Exact for inputs, which ops.py keeps on a grid that f32 can hold.
  std::vector<float> floats() const;
  std::vector<int64_t> integers() const;
};

// The attributes of a case, named as the arguments of the PyTorch function. The readers return
// NotFound for a name that is not there and InvalidArgument for another type.
class Attributes {
 public:
  using Value = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>>;

  bool has(const std::string& name) const { return values_.count(name) != 0; }
  absl::StatusOr<bool> flag(const std::string& name) const;
  absl::StatusOr<int64_t> integer(const std::string& name) const;
  absl::StatusOr<double> real(const std::string& name) const;  // takes an integer as well
  absl::StatusOr<std::string> text(const std::string& name) const;
  // A list of integers; a single integer reads as a list of one.
  absl::StatusOr<std::vector<int64_t>> integers(const std::string& name) const;

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  const std::map<std::string, Value>& all() const { return values_; }

 private:
  std::map<std::string, Value> values_;
};

// One call of the operation.
struct OpCase {
  std::string name;
  Attributes attrs;
  std::vector<GoldenTensor> inputs;
  std::vector<GoldenTensor> outputs;
  // The gradient that flows into the output of the same name, and what then arrives at the input of
  // the same name. Both are empty where the case checks values alone.
  std::vector<GoldenTensor> upstream;
  std::vector<GoldenTensor> input_grads;

  // Null where there is none of that name.
  const GoldenTensor* input(const std::string& name) const;
  const GoldenTensor* output(const std::string& name) const;
  const GoldenTensor* upstream_of(const std::string& output_name) const;
  const GoldenTensor* grad_of(const std::string& input_name) const;
};

struct OpGolden {
  std::string op;
  std::string reference;  // the PyTorch function that computed it
  std::vector<OpCase> cases;
};

// `origin` names the text in error messages.
absl::StatusOr<OpGolden> parse_op_golden(const std::string& text, const std::string& origin);

// Reads a file. Under Bazel the path is relative to the workspace: "tests/goldens/ops/relu.json",
// with
// //tests/goldens:op_goldens among the test's data.
absl::StatusOr<OpGolden> load_op_golden(const std::string& path);

}  // namespace modellib::goldens

#endif  // MODELLIB_TESTS_GOLDENS_GOLDEN_FILE_H_
