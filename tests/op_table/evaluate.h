// Shortcuts for tests that compute a few numbers with the reference executor.
#ifndef MODELLIB_TESTS_OP_TABLE_EVALUATE_H_
#define MODELLIB_TESTS_OP_TABLE_EVALUATE_H_

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/registry.h"
#include "modellib/tests/op_table/samples.h"

namespace modellib {

// A constant of these numbers.
inline Value constant(GraphBuilder& b, DType dtype, std::vector<int64_t> shape,
                      const std::vector<double>& values) {
  Tensor t = *Tensor::zeros(dtype, shape);
  EXPECT_EQ(t.elements(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (is_floating(dtype)) {
      t.set(static_cast<int64_t>(i), values[i]);
    } else {
      t.set_int(static_cast<int64_t>(i), static_cast<int64_t>(values[i]));
    }
  }
  return b.constant(std::move(t));
}

// A constant of uniform numbers in [-1, 1), drawn from `name`.
inline Value random_constant(GraphBuilder& b, DType dtype, std::vector<int64_t> shape,
                             const std::string& name) {
  return b.constant(*random_tensor(dtype, shape, -1, 1, name));
}

// The tensors that the values come to, in the builder's graph; none (and a failed test) on any
// mistake.
inline std::vector<Tensor> evaluate(GraphBuilder& b, const std::vector<Value>& values) {
  for (size_t i = 0; i < values.size(); ++i) b.output(absl::StrCat("out", i), values[i]);
  const auto graph = b.build();
  EXPECT_TRUE(graph.ok()) << graph.status();
  if (!graph.ok()) return {};
  auto result = run_reference(*graph, {});
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->outputs : std::vector<Tensor>();
}

inline std::vector<double> numbers(const Tensor& t) {
  std::vector<double> all;
  for (int64_t i = 0; i < t.elements(); ++i) {
    all.push_back(is_floating(t.dtype()) ? t.at(i) : static_cast<double>(t.int_at(i)));
  }
  return all;
}
// Those of one value.
inline std::vector<double> numbers_of(GraphBuilder& b, Value value) {
  const std::vector<Tensor> all = evaluate(b, {value});
  return all.empty() ? std::vector<double>() : numbers(all[0]);
}

}  // namespace modellib

#endif  // MODELLIB_TESTS_OP_TABLE_EVALUATE_H_
