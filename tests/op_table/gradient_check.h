// Central differences: the judge of gradients.
#ifndef MODELLIB_TESTS_OP_TABLE_GRADIENT_CHECK_H_
#define MODELLIB_TESTS_OP_TABLE_GRADIENT_CHECK_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/tensor.h"

namespace modellib {

// Compares analytic gradients with central differences, all in f64.
//
// `graph` has outputs "loss" (f64, one element) and "gI" for each input I in `wrt` (indices of
// inputs). At most `points` elements of each input are moved. Empty if each derivative agrees
// within `tolerance`, relative to the larger of 1 and its magnitude; else says which does not.
absl::StatusOr<std::string> gradient_mismatch(const GraphRef& graph, std::vector<Tensor> inputs,
                                              const std::vector<int>& wrt, int points = 16,
                                              double tolerance = 1e-5);

}  // namespace modellib

#endif  // MODELLIB_TESTS_OP_TABLE_GRADIENT_CHECK_H_
