// Max and average pooling over any number of spatial axes.
//
// max_pool_select and max_pool_gradient move elements to and from the places of the maxima: each is
// the other's derivative, so that they are closed under differentiation; avg_pool and
// avg_pool_gradient alike.
#ifndef MODELLIB_OPS_POOL_H_
#define MODELLIB_OPS_POOL_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "modellib/graph/builder.h"

namespace modellib {

// Lists have an entry for each spatial axis.
struct PoolAttributes {
  std::vector<int64_t> kernel = {};
  std::vector<int64_t> strides = {};      // empty: the kernel
  std::vector<int64_t> padding_low = {};  // empty: 0; less than what the kernel reaches over
  std::vector<int64_t> padding_high = {};
  std::vector<int64_t> dilations = {};  // empty: 1
  bool ceil_mode = false;               // count a last window that ends beyond the padding
  bool count_include_pad = true;        // avg_pool: padding counts as zeros, as in PyTorch
  std::string layout = "NCHW";          // or "NHWC": [batch, spatial…, channels]
  Shape shape = {};                     // avg_pool_gradient only: of x
  static constexpr auto fields() {
    return std::make_tuple(
        field("kernel", &PoolAttributes::kernel), field("strides", &PoolAttributes::strides),
        field("padding_low", &PoolAttributes::padding_low),
        field("padding_high", &PoolAttributes::padding_high),
        field("dilations", &PoolAttributes::dilations),
        field("ceil_mode", &PoolAttributes::ceil_mode),
        field("count_include_pad", &PoolAttributes::count_include_pad),
        field("layout", &PoolAttributes::layout), field("shape", &PoolAttributes::shape));
  }
};

// x [batch, channels, spatial…], reals -> [batch, channels, windows…].
Value max_pool(Value x, PoolAttributes attributes);
Value avg_pool(Value x, PoolAttributes attributes);

// torch's adaptive pooling: `output` extents of windows [floor(i n / output), ceil((i + 1) n /
// output)) of each spatial axis with extent n, which must be static. Attributes other than layout
// are not read.
Value adaptive_avg_pool(Value x, std::vector<int64_t> output, PoolAttributes attributes = {});
Value adaptive_max_pool(Value x, std::vector<int64_t> output, PoolAttributes attributes = {});

// Of each window, the element of y (of x's shape) at the first place where x is largest (a NaN
// counts as largest): max_pool(x) is max_pool_select(x, x).
Value max_pool_select(Value x, Value y, PoolAttributes attributes);
// From the gradient of max_pool's result to that of x: each element goes to the place of the
// maximum.
Value max_pool_gradient(Value x, Value g, PoolAttributes attributes);
// From the gradient of avg_pool's result to that of x, whose shape attributes.shape is.
Value avg_pool_gradient(Value g, PoolAttributes attributes);

}  // namespace modellib

#endif  // MODELLIB_OPS_POOL_H_
