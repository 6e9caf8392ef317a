#include "modellib/ops/repeat.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

// repeat_interleave(x) -> elements

const std::vector<int64_t>& repeats_of(const OpCall& c) {
  return c.attributes.as<RepeatInterleaveAttributes>().repeats;
}

absl::Status infer(InferenceContext& c) {
  const auto& repeats = c.attributes.as<RepeatInterleaveAttributes>().repeats;
  TensorType type = c.input(0);
  if (repeats.size() != type.shape.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("repeats has ", repeats.size(), " entries for ", to_string(type)));
  }
  for (size_t d = 0; d < repeats.size(); ++d) {
    if (repeats[d] < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("repeats of axis ", d, " must be 1 at least, is ", repeats[d]));
    }
    type.shape[d] = type.shape[d] * repeats[d];
  }
  c.outputs.push_back(std::move(type));
  return absl::OkStatus();
}

// `x` with an axis of `extent` behind `axis`.
Shape with_axis_behind(Shape x, size_t axis, int64_t extent) {
  x.insert(x.begin() + static_cast<std::ptrdiff_t>(axis) + 1, extent);
  return x;
}

// Axis by axis, so that no value has more than one axis beyond those of x; the last first, where
// elements move one by one.
std::vector<Value> decompose(OpCall& c) {
  const auto& repeats = repeats_of(c);
  Value y = c.in(0);
  for (size_t d = repeats.size(); d-- > 0;) {
    if (repeats[d] == 1) continue;
    const Shape x = y.shape();
    Shape joined = x;
    joined[d] = joined[d] * repeats[d];
    y = broadcast_to(reshape(y, with_axis_behind(x, d, 1)), with_axis_behind(x, d, repeats[d]));
    y = reshape(y, std::move(joined));
  }
  return {y};
}

// Whether a spatial extent may be 0, too little for a window. The symbols of a region have no
// ranges of their own.
bool may_have_no_pixels(const Value& image) {
  const DimRanges& ranges = image.builder()->so_far().ranges();
  return std::any_of(image.shape().begin() + 2, image.shape().end(),
                     [&](const Dim& d) { return !is_at_most(1, d, ranges); });
}

// The sum over the places that an element went to. For images that is a pooling, which leaves them
// images to the choice of layouts.
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> gradients) {
  if (gradients[0].is_null()) return {Value()};
  const auto& repeats = repeats_of(c);
  const DType dtype = gradient_type(c.in(0).dtype());
  Value g = widened(gradients[0]);
  if (repeats.size() >= 3 && repeats[0] == 1 && repeats[1] == 1 && !may_have_no_pixels(c.in(0))) {
    double count = 1;
    for (const int64_t r : repeats) count *= static_cast<double>(r);
    g = avg_pool(g, {.kernel = {repeats.begin() + 2, repeats.end()}}) * count;
    return {as_dtype(g, dtype)};
  }
  for (size_t d = 0; d < repeats.size(); ++d) {
    if (repeats[d] == 1) continue;
    Shape apart = g.shape();
    apart[d] = c.in(0).shape()[d];
    apart = with_axis_behind(std::move(apart), d, repeats[d]);
    g = reduce_sum(reshape(g, std::move(apart)), {.axes = {static_cast<int64_t>(d) + 1}});
  }
  return {as_dtype(g, dtype)};
}

std::vector<OpSample> samples() {
  const auto sample = [](const char* name, TensorType x, std::vector<int64_t> repeats) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(x)};
    s.attributes = Attributes::of(RepeatInterleaveAttributes{std::move(repeats)});
    s.binding = {{"batch", 3}, {"width", 5}};
    return s;
  };
  const Dim batch = Dim::symbol("batch"), width = Dim::symbol("width");
  std::vector<OpSample> samples = {
      sample("image", f32({2, 3, 4, 5}), {1, 1, 2, 3}),
      sample("channels_last", f32({2, 3, 2, 4}), {1, 2, 4, 1}),
      sample("row", f32({7}), {2}),
      sample("every_axis", f32({2, 3}), {3, 2}),
      sample("sequence", f32({2, 3, 4}), {1, 1, 5}),
      sample("batch", f32({2, 1, 3}), {3, 1, 1}),
      sample("symbolic", f32({batch, 2, 3, width}), {1, 1, 2, 2}),
      sample("symbolic_channels_last", f32({batch, width, 2, 3}), {1, 3, 2, 1}),
      sample("f16", f16({1, 2, 3, 4}), {1, 1, 2, 2}),
      sample("five_axes", f32({1, 2, 2, 2, 2}), {2, 2, 2, 2, 2})};
  samples.push_back(sample("i64", i64({2, 3}), {1, 2}));
  samples.back().check_gradient = false;
  return samples;
}

}  // namespace

std::vector<OpDef> repeat_ops() {
  OpDef op = composite("repeat_interleave", 1, 1, infer, decompose, samples);
  op.attributes = AttributesSchema::of<RepeatInterleaveAttributes>();
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  return {op};
}

Value repeat_interleave(Value x, std::vector<int64_t> repeats) {
  const bool same = std::all_of(repeats.begin(), repeats.end(), [](int64_t r) { return r == 1; });
  if (same && !x.is_null() && !x.is_poisoned() && x.shape().size() == repeats.size()) return x;
  return emit_op_one("repeat_interleave", {x},
                     Attributes::of(RepeatInterleaveAttributes{std::move(repeats)}));
}

}  // namespace modellib
