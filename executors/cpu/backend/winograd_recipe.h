// The steps of a 3x3 convolution by tiles of 4x4 results (kernels/winograd.h).
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_WINOGRAD_RECIPE_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_WINOGRAD_RECIPE_H_

#include <cstdint>

#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/graph/dim.h"
#include "modellib/passes/backend.h"

namespace modellib::cpu {

// A convolution of channels-last images, of stride, dilation and groups 1, with a constant filter.
// The operands of its node are x, filter, bias, residual.
struct WinogradProblem {
  Dim batch = 1;
  int64_t in[2] = {1, 1};
  int64_t out[2] = {1, 1};
  int64_t pad_low[2] = {};
  int64_t in_channels = 1, out_channels = 1;
  int64_t low = 0, high = 0;  // of the results: the bits of doubles
  bool has_bias = false;
  ResidualAt residual = ResidualAt::kNone;
};

// Transforms x, multiplies, transforms the products.
NodeRecipe winograd_recipe(const RecipeSite& site, const WinogradProblem& problem);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_WINOGRAD_RECIPE_H_
