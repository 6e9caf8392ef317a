// Judges ops by what PyTorch computed (tests/goldens): one call builds a case in the graph, and its
// outputs and gradients are compared, in f32 and, to the last digits that the files hold, in f64.
#ifndef MODELLIB_TESTS_OP_TABLE_GOLDEN_CHECK_H_
#define MODELLIB_TESTS_OP_TABLE_GOLDEN_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "modellib/graph/builder.h"
#include "modellib/tests/goldens/golden_file.h"

namespace modellib {

// A case of a golden file while its graph is built. The readers of attributes record a test failure
// for one that is missing or of another kind.
class GoldenCall {
 public:
  GoldenCall(GraphBuilder& builder, const goldens::OpCase& golden, DType real);

  GraphBuilder& builder() { return builder_; }
  // An input of that name, of type `real` where the file says f32; null if the case has none.
  Value in(const std::string& name);
  const goldens::Attributes& attrs() const { return golden_.attrs; }
  double real(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  bool flag(const std::string& name) const;
  std::string text(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name) const;

 private:
  GraphBuilder& builder_;
  const goldens::OpCase& golden_;
  std::vector<std::string> names_;  // of the inputs made, in the graph's order
  std::vector<Value> values_;
};

// The outputs of the case, in the file's order; null for one that the op does not have.
using GoldenBuild = std::function<std::vector<Value>(GoldenCall&)>;

struct GoldenEntry {
  std::string file;  // "softmax" for tests/goldens/ops/softmax.json
  GoldenBuild build;
  // Cases that the op refuses or reads otherwise, with the reason beside each in the table.
  std::vector<std::string> skip = {};
  // Relative to the larger of 1 and the expected magnitude.
  double tolerance_f32 = 2e-5;
  double tolerance_f64 = 1e-8;
};
// Records a test failure for each output and gradient that differs.
void check_golden(const GoldenEntry& entry);

}  // namespace modellib

#endif  // MODELLIB_TESTS_OP_TABLE_GOLDEN_CHECK_H_
