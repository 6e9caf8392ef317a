#include "modellib/ops/pool.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/window.h"

namespace modellib {
namespace {

absl::StatusOr<Window> window_of(const PoolAttributes& a, size_t rank) {
  if (rank < 3) {
    return absl::InvalidArgumentError(absl::StrCat("rank must be 3 at least, is ", rank));
  }
  if (a.kernel.size() != rank - 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel has ", a.kernel.size(), " entries for ", rank - 2, " spatial axes"));
  }
  Window w;
  w.kernel = a.kernel;
  w.strides = a.strides.empty() ? a.kernel : a.strides;
  w.padding_low = a.padding_low;
  w.padding_high = a.padding_high;
  w.dilations = a.dilations;
  w.layout = a.layout;
  MODELLIB_RETURN_IF_ERROR(w.complete(rank - 2));
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    if (w.padding_low[i] >= w.reach(i) || w.padding_high[i] >= w.reach(i)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "padding ", w.padding_low[i], ", ", w.padding_high[i], " of spatial axis ", i,
          " for a window of ", w.reach(i), " leaves windows with nothing but padding"));
    }
  }
  return w;
}

absl::StatusOr<Shape> pooled_shape(const PoolAttributes& a, const Shape& x) {
  MODELLIB_ASSIGN_OR_RETURN(const Window w, window_of(a, x.size()));
  Shape y = x;
  for (size_t i = 0; i < w.kernel.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(y[w.spatial_axis(i)], w.extent(i, x[w.spatial_axis(i)], a.ceil_mode));
  }
  return y;
}

// The gradient's operand must have the shape that pooling x gives.
absl::Status check_gradient(InferenceContext& c, const Shape& x, int operand) {
  MODELLIB_ASSIGN_OR_RETURN(const Shape y, pooled_shape(c.attributes.as<PoolAttributes>(), x));
  MODELLIB_RETURN_IF_ERROR(require_rank(c, operand, static_cast<int>(y.size())));
  for (size_t d = 0; d < y.size(); ++d) {
    MODELLIB_RETURN_IF_ERROR(c.require_equal(y[d], c.input(operand).shape[d],
                                             absl::StrCat("axis ", d, " of operand ", operand)));
  }
  return absl::OkStatus();
}

// A tap of a window: the element of x that it lies on, -1 in the padding, -2 beyond it.
constexpr int64_t kPadding = -1, kBeyond = -2;

// Calls f(element of y, element of x, kPadding or kBeyond) for each tap of each window.
template <class F>
void for_each_tap(const PoolAttributes& a, const std::vector<int64_t>& x,
                  const std::vector<int64_t>& y, F f) {
  const Window w = *window_of(a, x.size());
  std::vector<int64_t> from(x.size());
  int64_t to = 0;
  for_each_index(y, [&](absl::Span<const int64_t> index) {
    for_each_index(w.kernel, [&](absl::Span<const int64_t> tap) {
      from.assign(index.begin(), index.end());
      bool padding = false, beyond = false;
      for (size_t i = 0; i < w.kernel.size(); ++i) {
        const size_t d = w.spatial_axis(i);
        from[d] = w.source(i, index[d], tap[i]);
        padding = padding || from[d] < 0 || from[d] >= x[d];
        beyond = beyond || from[d] >= x[d] + w.padding_high[i];
      }
      f(to, beyond ? kBeyond : padding ? kPadding : offset_of(from, x));
    });
    ++to;
  });
}

// For each window the place of its maximum in x.
std::vector<int64_t> places(const PoolAttributes& a, const Tensor& x,
                            const std::vector<int64_t>& y) {
  std::vector<int64_t> best;
  for_each_tap(a, x.shape(), y, [&](int64_t to, int64_t from) {
    if (best.size() <= static_cast<size_t>(to)) best.push_back(-1);
    int64_t& b = best[static_cast<size_t>(to)];
    if (from < 0 || (b >= 0 && std::isnan(x.at(b)))) return;
    if (b < 0 || x.at(from) > x.at(b) || std::isnan(x.at(from))) b = from;
  });
  return best;
}

absl::Status no_element() {
  return absl::InvalidArgumentError("a window holds nothing but padding");
}

// ---- max_pool, max_pool_select

absl::Status infer_select(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  const TensorType& x = c.input(0);
  if (c.has(1)) {
    MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
    MODELLIB_RETURN_IF_ERROR(require_rank(c, 1, x.rank()));
    for (int d = 0; d < x.rank(); ++d) {
      const auto at = static_cast<size_t>(d);
      MODELLIB_RETURN_IF_ERROR(c.require_equal(x.shape[at], c.input(1).shape[at],
                                               absl::StrCat("axis ", d, " of both operands")));
    }
  }
  MODELLIB_ASSIGN_OR_RETURN(Shape y, pooled_shape(c.attributes.as<PoolAttributes>(), x.shape));
  c.outputs.push_back({x.dtype, std::move(y)});
  return absl::OkStatus();
}

absl::Status reference_select(ReferenceContext& c) {
  const Tensor& source = c.in(c.has(1) ? 1 : 0);
  const auto best = places(c.attributes.as<PoolAttributes>(), c.in(0), c.out(0).shape());
  for (size_t i = 0; i < best.size(); ++i) {
    if (best[i] < 0) return no_element();
    copy_element(source, best[i], c.out(0), static_cast<int64_t>(i));
  }
  return absl::OkStatus();
}

std::vector<Value> gradient_max_pool(OpCall& c, absl::Span<const Value> g) {
  return {max_pool_gradient(c.in(0), g[0], c.attributes.as<PoolAttributes>())};
}

std::vector<Value> gradient_select(OpCall& c, absl::Span<const Value> g) {
  return {Value(), max_pool_gradient(c.in(0), g[0], c.attributes.as<PoolAttributes>())};
}

// ---- max_pool_gradient

absl::Status infer_max_pool_gradient(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  MODELLIB_RETURN_IF_ERROR(check_gradient(c, c.input(0).shape, 1));
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}

absl::Status reference_max_pool_gradient(ReferenceContext& c) {
  const auto best = places(c.attributes.as<PoolAttributes>(), c.in(0), c.in(1).shape());
  std::vector<double> sum(static_cast<size_t>(c.out(0).elements()), 0);
  for (size_t i = 0; i < best.size(); ++i) {
    if (best[i] < 0) return no_element();
    sum[static_cast<size_t>(best[i])] += c.in(1).at(static_cast<int64_t>(i));
  }
  for (size_t i = 0; i < sum.size(); ++i) c.out(0).set(static_cast<int64_t>(i), sum[i]);
  return absl::OkStatus();
}

std::vector<Value> gradient_max_pool_gradient(OpCall& c, absl::Span<const Value> g) {
  return {Value(), max_pool_select(c.in(0), g[0], c.attributes.as<PoolAttributes>())};
}

// ---- avg_pool and its gradient

absl::Status infer_avg_pool(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  const auto& a = c.attributes.as<PoolAttributes>();
  if (!a.shape.empty()) return absl::InvalidArgumentError("shape is for the gradient only");
  MODELLIB_ASSIGN_OR_RETURN(Shape y, pooled_shape(a, c.input(0).shape));
  c.outputs.push_back({c.input(0).dtype, std::move(y)});
  return absl::OkStatus();
}

std::vector<double> divisors(const PoolAttributes& a, const std::vector<int64_t>& x,
                             const std::vector<int64_t>& y) {
  std::vector<double> counts;
  for_each_tap(a, x, y, [&](int64_t to, int64_t from) {
    if (counts.size() <= static_cast<size_t>(to)) counts.push_back(0);
    const bool counted = a.count_include_pad ? from != kBeyond : from >= 0;
    counts[static_cast<size_t>(to)] += counted ? 1 : 0;
  });
  return counts;
}

absl::Status reference_avg_pool(ReferenceContext& c) {
  const auto& a = c.attributes.as<PoolAttributes>();
  const auto &x = c.in(0).shape(), &y = c.out(0).shape();
  const std::vector<double> counts = divisors(a, x, y);
  std::vector<double> sum(counts.size(), 0);
  for_each_tap(a, x, y, [&](int64_t to, int64_t from) {
    if (from >= 0) sum[static_cast<size_t>(to)] += c.in(0).at(from);
  });
  for (size_t i = 0; i < sum.size(); ++i) {
    if (counts[i] == 0) return no_element();
    c.out(0).set(static_cast<int64_t>(i), sum[i] / counts[i]);
  }
  return absl::OkStatus();
}

std::vector<Value> gradient_avg_pool(OpCall& c, absl::Span<const Value> g) {
  PoolAttributes a = c.attributes.as<PoolAttributes>();
  a.shape = c.in(0).shape();
  return {avg_pool_gradient(g[0], std::move(a))};
}

absl::Status infer_avg_pool_gradient(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  const Shape& x = c.attributes.as<PoolAttributes>().shape;
  MODELLIB_RETURN_IF_ERROR(check_gradient(c, x, 0));
  c.outputs.push_back({c.input(0).dtype, x});
  return absl::OkStatus();
}

absl::Status reference_avg_pool_gradient(ReferenceContext& c) {
  const auto& a = c.attributes.as<PoolAttributes>();
  const auto &x = c.out(0).shape(), &y = c.in(0).shape();
  const std::vector<double> counts = divisors(a, x, y);
  std::vector<double> sum(static_cast<size_t>(c.out(0).elements()), 0);
  for_each_tap(a, x, y, [&](int64_t at, int64_t to) {
    if (to >= 0) sum[static_cast<size_t>(to)] += c.in(0).at(at) / counts[static_cast<size_t>(at)];
  });
  for (size_t i = 0; i < sum.size(); ++i) c.out(0).set(static_cast<int64_t>(i), sum[i]);
  return absl::OkStatus();
}

std::vector<Value> gradient_avg_pool_gradient(OpCall& c, absl::Span<const Value> g) {
  PoolAttributes a = c.attributes.as<PoolAttributes>();
  a.shape.clear();
  return {avg_pool(g[0], std::move(a))};
}

// ---- samples: x and attributes, from which the operands of each op follow

struct Case {
  const char* name;
  Shape x;
  PoolAttributes attributes;
};

std::vector<Case> cases() {
  const Dim batch = Dim::symbol("batch");
  return {{"halve", {2, 3, 6, 8}, {.kernel = {2, 2}}},
          {"overlapping",
           {batch, 2, 7, 7},
           {.kernel = {3, 3}, .strides = {2, 2}, .padding_low = {1, 1}, .padding_high = {1, 1}}},
          {"ceil",
           {2, 2, 6, 7},
           {.kernel = {3, 2},
            .strides = {2, 3},
            .padding_low = {1, 0},
            .padding_high = {1, 0},
            .ceil_mode = true}},
          {"exclude_pad",
           {1, 2, 5, 5},
           {.kernel = {3, 3},
            .strides = {1, 2},
            .padding_low = {1, 0},
            .padding_high = {0, 1},
            .count_include_pad = false}},
          {"dilated", {1, 2, 8, 7}, {.kernel = {2, 3}, .strides = {1, 1}, .dilations = {3, 2}}},
          {"channels_last", {2, 6, 5, 3}, {.kernel = {2, 3}, .strides = {2, 1}, .layout = "NHWC"}},
          {"one_axis", {2, 3, 9}, {.kernel = {4}, .strides = {2}, .padding_low = {1}}},
          {"whole", {2, 3, 4, 4}, {.kernel = {4, 4}}}};
}

enum class Operands { kX, kXX, kXG, kG };

template <Operands O>
std::vector<OpSample> samples() {
  std::vector<OpSample> samples;
  for (const Case& c : cases()) {
    OpSample s;
    s.name = c.name;
    PoolAttributes a = c.attributes;
    const Shape y = *pooled_shape(a, c.x);
    if (O != Operands::kG) s.inputs.push_back(f32(c.x));
    if (O == Operands::kXX) s.inputs.push_back(f32(c.x));
    if (O == Operands::kXG || O == Operands::kG) s.inputs.push_back(f32(y));
    if (O == Operands::kG) a.shape = c.x;
    s.attributes = Attributes::of(std::move(a));
    s.binding = {{"batch", 3}};
    samples.push_back(std::move(s));
  }
  return samples;
}

OpDef definition(const char* name, int inputs, decltype(OpDef::infer) infer,
                 decltype(OpDef::reference) reference, decltype(OpDef::gradient) gradient,
                 decltype(OpDef::samples) samples) {
  OpDef op;
  op.name = name;
  op.attributes = AttributesSchema::of<PoolAttributes>();
  op.min_inputs = op.max_inputs = inputs;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples;
  return op;
}

Value emit(const char* op, absl::Span<const Value> operands, PoolAttributes attributes) {
  return emit_op_one(op, operands, Attributes::of(std::move(attributes)));
}

}  // namespace

std::vector<OpDef> pool_ops() {
  return {definition("max_pool", 1, infer_select, reference_select, gradient_max_pool,
                     samples<Operands::kX>),
          definition("max_pool_select", 2, infer_select, reference_select, gradient_select,
                     samples<Operands::kXX>),
          definition("max_pool_gradient", 2, infer_max_pool_gradient, reference_max_pool_gradient,
                     gradient_max_pool_gradient, samples<Operands::kXG>),
          definition("avg_pool", 1, infer_avg_pool, reference_avg_pool, gradient_avg_pool,
                     samples<Operands::kX>),
          definition("avg_pool_gradient", 1, infer_avg_pool_gradient, reference_avg_pool_gradient,
                     gradient_avg_pool_gradient, samples<Operands::kG>)};
}

Value max_pool(Value x, PoolAttributes attributes) {
  return emit("max_pool", {x}, std::move(attributes));
}
Value max_pool_select(Value x, Value y, PoolAttributes attributes) {
  return emit("max_pool_select", {x, y}, std::move(attributes));
}
Value max_pool_gradient(Value x, Value g, PoolAttributes attributes) {
  return emit("max_pool_gradient", {x, g}, std::move(attributes));
}
Value avg_pool(Value x, PoolAttributes attributes) {
  return emit("avg_pool", {x}, std::move(attributes));
}
Value avg_pool_gradient(Value g, PoolAttributes attributes) {
  return emit("avg_pool_gradient", {g}, std::move(attributes));
}

}  // namespace modellib
