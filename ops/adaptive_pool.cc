// Adaptive pooling, as pools and slices.
#include "absl/strings/str_cat.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/window.h"

namespace modellib {
namespace {

// Cuts spatial axis i and those after it into windows, and joins the pools of these; `kernel` is
// the window of the axes before.
Value pooled(const Value& x, const std::vector<int64_t>& output, const Window& geometry, size_t i,
             std::vector<int64_t> kernel, Value (*pool)(Value, PoolAttributes)) {
  if (i == output.size()) {
    return pool(x, {.kernel = std::move(kernel), .layout = geometry.layout});
  }
  const auto axis = static_cast<int64_t>(geometry.spatial_axis(i));
  const int64_t extent = x.dim(static_cast<int>(axis)).value();
  kernel.push_back(0);
  if (extent % output[i] == 0) {
    kernel.back() = extent / output[i];
    return pooled(x, output, geometry, i + 1, kernel, pool);
  }
  std::vector<Value> parts;
  for (int64_t o = 0; o < output[i]; ++o) {
    const int64_t start = o * extent / output[i];
    const int64_t limit = ((o + 1) * extent + output[i] - 1) / output[i];
    kernel.back() = limit - start;
    parts.push_back(
        pooled(slice_axis(x, axis, start, limit), output, geometry, i + 1, kernel, pool));
  }
  return concat(parts, axis);
}

Value adaptive(Value x, const std::vector<int64_t>& output, const PoolAttributes& attributes,
               Value (*pool)(Value, PoolAttributes)) {
  if (x.is_null() || x.is_poisoned()) return x;
  const auto fail = [&](const std::string& what) {
    return x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("adaptive pooling of ", to_string(x.type()), ": ", what)));
  };
  if (x.rank() < 3 || static_cast<int>(output.size()) != x.rank() - 2) {
    return fail(absl::StrCat(output.size(), " output extents"));
  }
  Window geometry;
  geometry.layout = attributes.layout;
  if (absl::Status s = geometry.complete(output.size()); !s.ok()) {
    return fail(std::string(s.message()));
  }
  for (size_t i = 0; i < output.size(); ++i) {
    const Dim& extent = x.shape()[geometry.spatial_axis(i)];
    if (!extent.is_static() || extent.value() < 1 || output[i] < 1) {
      return fail(
          absl::StrCat("spatial axis ", i, " of extent ", extent.to_string(), " to ", output[i]));
    }
  }
  return pooled(x, output, geometry, 0, {}, pool);
}

}  // namespace

Value adaptive_avg_pool(Value x, std::vector<int64_t> output, PoolAttributes attributes) {
  return adaptive(x, output, attributes, avg_pool);
}

Value adaptive_max_pool(Value x, std::vector<int64_t> output, PoolAttributes attributes) {
  return adaptive(x, output, attributes, max_pool);
}

}  // namespace modellib
