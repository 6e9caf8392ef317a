#include "modellib/ops/conv.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/window.h"

namespace modellib {
namespace {

absl::StatusOr<Window> window_of(const ConvAttributes& a, const Shape& filter) {
  Window w;
  for (size_t d = 2; d < filter.size(); ++d) {
    if (!filter[d].is_static()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the kernel must have static extents, is ", to_string(filter)));
    }
    w.kernel.push_back(filter[d].value());
  }
  w.strides = a.strides;
  w.padding_low = a.padding_low;
  w.padding_high = a.padding_high;
  w.dilations = a.dilations;
  w.layout = a.layout;
  MODELLIB_RETURN_IF_ERROR(w.complete(filter.size() - 2));
  return w;
}

// Checks x, filter and result (any of which may be given by an attribute) against each other.
absl::Status check(InferenceContext& c, const Shape& x, const Shape& filter, const Shape& y,
                   const Window& w, int64_t groups) {
  const size_t channel = w.channel_axis(x.size());
  MODELLIB_RETURN_IF_ERROR(c.require_equal(x[0], y[0], "the batch"));
  MODELLIB_RETURN_IF_ERROR(
      c.require_equal(x[channel], filter[1] * groups, "in channels of operand and filter"));
  MODELLIB_RETURN_IF_ERROR(
      c.require_equal(filter[0], y[channel], "out channels of filter and result"));
  if (filter[0] == Dim(0) || filter[1] == Dim(0))
    return absl::InvalidArgumentError("a filter of no channels");
  if (groups < 1 || (filter[0].is_static() && filter[0].value() % groups != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(groups, " groups of ", filter[0].to_string(), " out channels"));
  }
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    const size_t d = w.spatial_axis(i);
    MODELLIB_ASSIGN_OR_RETURN(const Dim extent, w.extent(i, x[d], /*ceil_mode=*/false));
    MODELLIB_RETURN_IF_ERROR(c.require_equal(extent, y[d], absl::StrCat("spatial axis ", i)));
  }
  return absl::OkStatus();
}

absl::Status check_ranks(const Shape& x, const Shape& filter, const Shape& y) {
  if (x.size() >= 3 && filter.size() == x.size() && y.size() == x.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("ranks of ", to_string(x), ", filter ",
                                                 to_string(filter), " and ", to_string(y),
                                                 " must be equal and at least 3"));
}

absl::Status infer_conv(InferenceContext& c) {
  const auto& a = c.attributes.as<ConvAttributes>();
  const Shape &x = c.input(0).shape, &filter = c.input(1).shape;
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(check_ranks(x, filter, x));
  MODELLIB_ASSIGN_OR_RETURN(const Window w, window_of(a, filter));
  Shape y = x;
  y[w.channel_axis(x.size())] = filter[0];
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(y[w.spatial_axis(i)], w.extent(i, x[w.spatial_axis(i)], false));
  }
  MODELLIB_RETURN_IF_ERROR(check(c, x, filter, y, w, a.groups));
  if (!a.shape.empty()) return absl::InvalidArgumentError("shape is for the gradients only");
  c.outputs.push_back({c.input(0).dtype, std::move(y)});
  return absl::OkStatus();
}

absl::Status infer_input_gradient(InferenceContext& c) {
  const auto& a = c.attributes.as<ConvAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(check_ranks(a.shape, c.input(1).shape, c.input(0).shape));
  MODELLIB_ASSIGN_OR_RETURN(const Window w, window_of(a, c.input(1).shape));
  MODELLIB_RETURN_IF_ERROR(check(c, a.shape, c.input(1).shape, c.input(0).shape, w, a.groups));
  c.outputs.push_back({c.input(0).dtype, a.shape});
  return absl::OkStatus();
}

absl::Status infer_filter_gradient(InferenceContext& c) {
  const auto& a = c.attributes.as<ConvAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(check_ranks(c.input(0).shape, a.shape, c.input(1).shape));
  MODELLIB_ASSIGN_OR_RETURN(const Window w, window_of(a, a.shape));
  MODELLIB_RETURN_IF_ERROR(check(c, c.input(0).shape, a.shape, c.input(1).shape, w, a.groups));
  c.outputs.push_back({c.input(0).dtype, a.shape});
  return absl::OkStatus();
}

Shape dims(const std::vector<int64_t>& extents) { return Shape(extents.begin(), extents.end()); }

// Calls f(element of x, element of filter, element of y) for each product of the convolution.
template <class F>
absl::Status for_each_product(const ConvAttributes& a, const std::vector<int64_t>& x,
                              const std::vector<int64_t>& filter, const std::vector<int64_t>& y,
                              F f) {
  MODELLIB_ASSIGN_OR_RETURN(const Window w, window_of(a, dims(filter)));
  const size_t channel = w.channel_axis(x.size());
  const int64_t group_in = filter[1], group_out = filter[0] / a.groups;
  std::vector<int64_t> from(x.size()), tap(filter.size());
  int64_t to = 0;
  for_each_index(y, [&](absl::Span<const int64_t> index) {
    const int64_t out_channel = index[channel];
    for_each_index(absl::MakeSpan(filter).subspan(1), [&](absl::Span<const int64_t> at) {
      from[0] = index[0];
      from[channel] = out_channel / group_out * group_in + at[0];
      tap[0] = out_channel;
      tap[1] = at[0];
      for (size_t i = 0; i < w.kernel.size(); ++i) {
        const size_t d = w.spatial_axis(i);
        from[d] = w.source(i, index[d], at[i + 1]);
        tap[i + 2] = at[i + 1];
        if (from[d] < 0 || from[d] >= x[d]) return;  // padding
      }
      f(offset_of(from, x), offset_of(tap, filter), to);
    });
    ++to;
  });
  return absl::OkStatus();
}

enum class Kind { kForward, kInput, kFilter };

// Sums in f64, rounded once.
template <Kind K>
absl::Status reference(ReferenceContext& c) {
  const auto& a = c.attributes.as<ConvAttributes>();
  // Which of operand 0, operand 1 and the result is x, filter and y.
  Tensor& out = c.out(0);
  const auto& x = K == Kind::kInput ? out.shape() : c.in(0).shape();
  const auto& filter = K == Kind::kFilter ? out.shape() : c.in(1).shape();
  const auto& y = K == Kind::kForward ? out.shape()
                  : K == Kind::kInput ? c.in(0).shape()
                                      : c.in(1).shape();
  std::vector<double> sum(static_cast<size_t>(out.elements()), 0);
  MODELLIB_RETURN_IF_ERROR(
      for_each_product(a, x, filter, y, [&](int64_t at_x, int64_t at_filter, int64_t at_y) {
        const int64_t to = K == Kind::kForward ? at_y : K == Kind::kInput ? at_x : at_filter;
        const int64_t first = K == Kind::kInput ? at_y : at_x;
        const int64_t second = K == Kind::kFilter ? at_y : at_filter;
        sum[static_cast<size_t>(to)] += c.in(0).at(first) * c.in(1).at(second);
      }));
  for (size_t i = 0; i < sum.size(); ++i) out.set(static_cast<int64_t>(i), sum[i]);
  return absl::OkStatus();
}

template <Kind K>
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> g) {
  ConvAttributes plain = c.attributes.as<ConvAttributes>();
  plain.shape.clear();
  ConvAttributes first = plain, second = plain;
  first.shape = c.in(0).shape();
  second.shape = c.in(1).shape();
  switch (K) {
    case Kind::kForward:
      return {conv_input_gradient(g[0], c.in(1), first),
              conv_filter_gradient(c.in(0), g[0], second)};
    case Kind::kInput:
      return {conv(g[0], c.in(1), plain), conv_filter_gradient(g[0], c.in(0), second)};
    case Kind::kFilter:
      return {conv_input_gradient(c.in(1), g[0], first), conv(c.in(0), g[0], plain)};
  }
  return {};
}

// The cases, from which those of the gradients follow: x, filter, attributes.
struct Case {
  const char* name;
  Shape x, filter;
  ConvAttributes attributes;
};

std::vector<Case> cases() {
  const Dim batch = Dim::symbol("batch");
  return {
      {"plain", {2, 3, 6, 5}, {4, 3, 3, 3}, {}},
      {"padded", {batch, 3, 6, 5}, {4, 3, 3, 3}, {.padding_low = {1, 1}, .padding_high = {1, 1}}},
      {"strided",
       {2, 2, 7, 8},
       {3, 2, 3, 2},
       {.strides = {2, 3}, .padding_low = {1, 0}, .padding_high = {0, 1}}},
      {"dilated", {1, 2, 8, 7}, {2, 2, 3, 2}, {.dilations = {2, 3}}},
      {"pointwise", {2, 5, 3, 4}, {6, 5, 1, 1}, {}},
      {"grouped", {2, 4, 5, 5}, {6, 2, 3, 3}, {.groups = 2}},
      {"depthwise",
       {2, 3, 5, 5},
       {3, 1, 3, 3},
       {.padding_low = {1, 1}, .padding_high = {1, 1}, .groups = 3}},
      {"channels_last",
       {2, 6, 5, 3},
       {4, 3, 3, 3},
       {.strides = {2, 1}, .padding_low = {1, 1}, .padding_high = {1, 1}, .layout = "NHWC"}},
      {"one_axis", {2, 3, 9}, {4, 3, 4}, {.strides = {2}, .padding_low = {1}}},
      {"three_axes", {1, 2, 4, 3, 4}, {2, 2, 2, 2, 3}, {}}};
}

Shape result_shape(const Case& c) {
  const Window w = *window_of(c.attributes, c.filter);
  Shape y = c.x;
  y[w.channel_axis(y.size())] = c.filter[0];
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    y[w.spatial_axis(i)] = *w.extent(i, c.x[w.spatial_axis(i)], false);
  }
  return y;
}

template <Kind K>
std::vector<OpSample> samples() {
  std::vector<OpSample> samples;
  for (const Case& c : cases()) {
    OpSample s;
    s.name = c.name;
    s.inputs = {f32(K == Kind::kInput ? result_shape(c) : c.x),
                f32(K == Kind::kFilter ? result_shape(c) : c.filter)};
    ConvAttributes a = c.attributes;
    if (K == Kind::kInput) a.shape = c.x;
    if (K == Kind::kFilter) a.shape = c.filter;
    s.attributes = Attributes::of(std::move(a));
    s.binding = {{"batch", 3}};
    samples.push_back(std::move(s));
  }
  return samples;
}

template <Kind K>
OpDef definition(const char* name, decltype(OpDef::infer) infer) {
  OpDef op;
  op.name = name;
  op.attributes = AttributesSchema::of<ConvAttributes>();
  op.min_inputs = op.max_inputs = 2;
  op.infer = infer;
  op.reference = reference<K>;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient<K>;
  op.samples = samples<K>;
  return op;
}

Value emit(const char* op, Value a, Value b, ConvAttributes attributes) {
  return emit_op_one(op, {a, b}, Attributes::of(std::move(attributes)));
}

}  // namespace

std::vector<OpDef> conv_ops() {
  return {definition<Kind::kForward>("conv", infer_conv),
          definition<Kind::kInput>("conv_input_gradient", infer_input_gradient),
          definition<Kind::kFilter>("conv_filter_gradient", infer_filter_gradient)};
}

Value conv(Value x, Value filter, ConvAttributes attributes) {
  return emit("conv", x, filter, std::move(attributes));
}

Value conv2d(Value x, Value filter, ConvAttributes attributes) {
  if (!x.is_null() && !x.is_poisoned() && x.rank() != 4) {
    return x.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("conv2d of a value of rank ", x.rank(), "; it takes rank 4")));
  }
  return conv(x, filter, std::move(attributes));
}

Value conv_input_gradient(Value g, Value filter, ConvAttributes attributes) {
  return emit("conv_input_gradient", g, filter, std::move(attributes));
}

Value conv_filter_gradient(Value x, Value g, ConvAttributes attributes) {
  return emit("conv_filter_gradient", x, g, std::move(attributes));
}

Value conv_transpose(Value x, Value filter, ConvAttributes attributes,
                     std::vector<int64_t> output_padding) {
  if (x.is_null() || x.is_poisoned()) return x;
  if (filter.is_null() || filter.is_poisoned()) return filter;
  const auto fail = [&](absl::Status s) { return x.builder()->poison(std::move(s)); };
  if (absl::Status s = check_ranks(x.shape(), filter.shape(), x.shape()); !s.ok()) return fail(s);
  const auto w = window_of(attributes, filter.shape());
  if (!w.ok()) return fail(w.status());
  if (output_padding.empty()) output_padding.assign(w->kernel.size(), 0);
  const bool fits = output_padding.size() == w->kernel.size() &&
                    std::all_of(output_padding.begin(), output_padding.end(),
                                [](int64_t extra) { return extra >= 0; });
  if (!fits) {
    return fail(absl::InvalidArgumentError(
        absl::StrCat("conv_transpose: output_padding is [", absl::StrJoin(output_padding, ","),
                     "], expected ", w->kernel.size(), " numbers that are not negative")));
  }
  attributes.shape = x.shape();
  attributes.shape[w->channel_axis(x.shape().size())] = filter.shape()[1] * attributes.groups;
  attributes.padding_high = w->padding_high;
  // By axis of the result, zeros behind it.
  PadAttributes zeros;
  zeros.low.assign(x.shape().size(), 0);
  zeros.high = zeros.low;
  bool any_zeros = false;
  for (size_t i = 0; i < w->kernel.size(); ++i) {
    const size_t axis = w->spatial_axis(i);
    if (output_padding[i] >= w->strides[i]) {
      // The convolution whose gradient this is would have a window more: first comes what the
      // padding cuts off, then zeros.
      const int64_t taken = std::min(output_padding[i], attributes.padding_high[i]);
      attributes.padding_high[i] -= taken;
      zeros.high[axis] = output_padding[i] - taken;
      any_zeros = any_zeros || zeros.high[axis] > 0;
      output_padding[i] = 0;
    }
    Dim& extent = attributes.shape[axis];
    extent = (extent - 1) * w->strides[i] + w->reach(i) + output_padding[i] - w->padding_low[i] -
             attributes.padding_high[i];
  }
  const Value y = conv_input_gradient(x, filter, std::move(attributes));
  return any_zeros ? pad(y, std::move(zeros)) : y;
}

}  // namespace modellib
