// A matmul of any rank as the kernels see it: one product, up to two batch axes, strides.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_MATMUL_PROBLEM_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_MATMUL_PROBLEM_H_

#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/dim.h"
#include "modellib/passes/backend.h"

namespace modellib::cpu {

// One leading axis of the product: its extent, and how far A, B and C advance in it (elements).
struct BatchAxis {
  Dim extent, a, b, c;
};

// C [m, n] = A B for each element of the batch; rows of A, B and C lie lda, ldb, ldc elements
// apart.
struct MatmulProblem {
  Dim m, n, k;
  bool transpose_a = false, transpose_b = false;
  Dim lda, ldb, ldc;
  std::vector<BatchAxis> batch;  // outermost first; merged as far as strides allow
};

absl::StatusOr<NodeRecipe> plain_matmul_recipe(const RecipeSite& site,
                                               const MatmulProblem& problem);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_MATMUL_PROBLEM_H_
