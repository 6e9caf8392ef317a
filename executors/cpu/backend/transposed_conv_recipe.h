// The steps of a transposed convolution with a constant filter, as a convolution of stride 1.
//
// With strides s, results that lie s apart see the same places of the image, so the s0 * s1 …
// results of a phase are so many channels of one convolution (Shi et al., "Is the deconvolution
// layer the same as a convolutional layer?", 2016). Behind it they are put side by side.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_TRANSPOSED_CONV_RECIPE_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_TRANSPOSED_CONV_RECIPE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/dim.h"
#include "modellib/passes/backend.h"

namespace modellib::cpu {

// y[b, c, o] = sum x[b, ic, i] * filter[ic, c, k] over the channels ic of the group of c, and over
// i and k with o + pad_low = i * stride + k * dilation. The operands of the node are x and the
// filter [in channels, out channels / groups, kernel…].
struct TransposedConvProblem {
  Dim batch = 1;
  std::vector<Dim> in, out;  // by spatial axis, of which there are at most three
  std::vector<int64_t> kernel, stride, dilation, pad_low;
  int64_t in_channels = 1, out_channels = 1, groups = 1;
  bool channels_last = true;  // both images
};

// Whether the recipe can do it: each `out` is a multiple of its stride, whatever is bound, and the
// filter of all phases, most of which is zeros where strides are far larger than the kernel, is at
// most a few times as large as the one given, also as it is packed.
bool takes_transposed_conv(const TransposedConvProblem& problem);

absl::StatusOr<NodeRecipe> transposed_conv_recipe(const RecipeSite& site,
                                                  const TransposedConvProblem& problem);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_TRANSPOSED_CONV_RECIPE_H_
