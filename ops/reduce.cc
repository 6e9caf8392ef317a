#include "modellib/ops/reduce.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

enum class Kind { kSum, kMean, kMax, kMin, kProd, kAny, kAll };

std::vector<bool> reduced_axes(absl::Span<const int64_t> axes, int rank) {
  std::vector<bool> reduced(static_cast<size_t>(rank), axes.empty());
  for (int64_t axis : axes) reduced[static_cast<size_t>(axis_of(axis, rank))] = true;
  return reduced;
}

Shape reduced_shape(const Shape& in, const std::vector<bool>& reduced, bool keepdims) {
  Shape out;
  for (size_t d = 0; d < in.size(); ++d) {
    if (!reduced[d]) {
      out.push_back(in[d]);
    } else if (keepdims) {
      out.push_back(1);
    }
  }
  return out;
}

// The largest of nothing, less than all numbers of the type, or the smallest.
void set_bound(Tensor& y, int64_t i, bool largest) {
  const DType dtype = y.dtype();
  if (is_floating(dtype)) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    y.set(i, largest ? -kInfinity : kInfinity);
  } else if (is_signed_integer(dtype)) {
    const int64_t low = std::numeric_limits<int64_t>::min() >> (64 - bits_of(dtype));
    y.set_int(i, largest ? low : ~low);
  } else {
    y.set_int(i, largest ? 0 : -1);  // all bits
  }
}

// Whether element i wins over element j: larger (or smaller), or the first NaN.
bool better(const Tensor& x, int64_t i, int64_t j, bool largest) {
  if (is_floating(x.dtype())) {
    const double a = x.at(i), b = x.at(j);
    if (std::isnan(b)) return false;
    return std::isnan(a) || (largest ? a > b : a < b);
  }
  if (x.dtype() == DType::kU64) {
    const auto a = static_cast<uint64_t>(x.int_at(i)), b = static_cast<uint64_t>(x.int_at(j));
    return largest ? a > b : a < b;
  }
  return largest ? x.int_at(i) > x.int_at(j) : x.int_at(i) < x.int_at(j);
}

// Calls `f(from, to)` for each element of `in`, in C order, with the element of the result that it
// goes into.
template <class F>
void for_each_reduced(const std::vector<int64_t>& in, const std::vector<bool>& reduced, F f) {
  int64_t from = 0;
  for_each_index(in, [&](absl::Span<const int64_t> index) {
    int64_t to = 0;
    for (size_t d = 0; d < in.size(); ++d) {
      if (!reduced[d]) to = to * in[d] + index[d];
    }
    f(from++, to);
  });
}

template <Kind K>
absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<ReduceAttributes>();
  const Shape& in = c.input(0).shape;
  if (K == Kind::kAny || K == Kind::kAll) {
    MODELLIB_RETURN_IF_ERROR(require_dtype(c, 0, DType::kBool));
  } else if (K == Kind::kMean) {
    MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  } else {
    MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  }
  MODELLIB_RETURN_IF_ERROR(normal_axes(a.axes, c.input(0).rank()).status());
  const std::vector<bool> reduced = reduced_axes(a.axes, c.input(0).rank());
  c.outputs.push_back({c.input(0).dtype, reduced_shape(in, reduced, a.keepdims)});
  return absl::OkStatus();
}

// Sums and products in f64 (integers modulo 2^64), rounded once: the truth that kernels approach.
template <Kind K>
absl::Status reference(ReferenceContext& c) {
  const Tensor& x = c.in(0);
  Tensor& y = c.out(0);
  const auto reduced = reduced_axes(c.attributes.as<ReduceAttributes>().axes, x.rank());
  const auto size = static_cast<size_t>(y.elements());
  if constexpr (K == Kind::kMax || K == Kind::kMin) {
    std::vector<int64_t> best(size, -1);
    for_each_reduced(x.shape(), reduced, [&](int64_t from, int64_t to) {
      int64_t& b = best[static_cast<size_t>(to)];
      if (b < 0 || better(x, from, b, K == Kind::kMax)) b = from;
    });
    for (size_t i = 0; i < size; ++i) {
      if (best[i] < 0) {
        set_bound(y, static_cast<int64_t>(i), K == Kind::kMax);
      } else {
        copy_element(x, best[i], y, static_cast<int64_t>(i));
      }
    }
  } else if (is_floating(x.dtype())) {
    std::vector<double> total(size, K == Kind::kProd ? 1 : 0);
    for_each_reduced(x.shape(), reduced, [&](int64_t from, int64_t to) {
      double& t = total[static_cast<size_t>(to)];
      t = K == Kind::kProd ? t * x.at(from) : t + x.at(from);
    });
    const double count = K == Kind::kMean
                             ? static_cast<double>(x.elements()) / static_cast<double>(y.elements())
                             : 1;
    for (size_t i = 0; i < size; ++i) y.set(static_cast<int64_t>(i), total[i] / count);
  } else {
    std::vector<uint64_t> total(size, K == Kind::kProd || K == Kind::kAll ? 1 : 0);
    for_each_reduced(x.shape(), reduced, [&](int64_t from, int64_t to) {
      uint64_t& t = total[static_cast<size_t>(to)];
      const auto v = static_cast<uint64_t>(x.int_at(from));
      t = K == Kind::kProd ? t * v : K == Kind::kAll ? t & v : K == Kind::kAny ? t | v : t + v;
    });
    for (size_t i = 0; i < size; ++i) {
      y.set_int(static_cast<int64_t>(i), static_cast<int64_t>(total[i]));
    }
  }
  return absl::OkStatus();
}

template <Kind K>
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> g) {
  const auto& a = c.attributes.as<ReduceAttributes>();
  const Value x = c.in(0);
  const auto wide = [&](Value v) { return a.keepdims ? v : restore_axes(v, x.shape(), a.axes); };
  const Value upstream = wide(g[0]);
  const DType precise = accumulation_type(x.dtype());
  switch (K) {
    case Kind::kSum:
      return {broadcast_to(upstream, x.shape())};
    case Kind::kMean: {
      // Divided in f32: the count may lie beyond f16.
      const Value share = div(cast(upstream, precise), count_along(cast(x, precise), a.axes));
      return {broadcast_to(cast(share, x.dtype()), x.shape())};
    }
    case Kind::kMax:
    case Kind::kMin: {
      const Value chosen = equal(x, wide(c.out(0)));
      const Value ties =
          reduce_sum(cast(chosen, precise), {.axes = a.axes, .keepdims = a.keepdims});
      const Value share = cast(div(cast(upstream, precise), wide(ties)), x.dtype());
      return {where(chosen, share, 0.0)};
    }
    case Kind::kProd: {
      // The product of the others: the whole by the element, unless that is zero.
      const Value zero = equal(x, 0);
      const Value others = where(zero, 1.0, x);
      const Value zeros =
          wide(reduce_sum(cast(zero, precise), {.axes = a.axes, .keepdims = a.keepdims}));
      const Value product = wide(reduce_prod(others, a));
      const Value alone = logical_and(zero, equal(zeros, 1));
      const Value counts = logical_or(equal(zeros, 0), alone);
      return {where(counts, mul(upstream, div(product, others)), 0.0)};
    }
    default:
      return {Value()};
  }
}

template <Kind K>
std::vector<OpSample> samples() {
  constexpr bool boolean_kind = K == Kind::kAny || K == Kind::kAll;
  const auto sample = [](const char* name, TensorType type, ReduceAttributes a, double tolerance) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type)};
    s.attributes = Attributes::of(std::move(a));
    s.tolerance = tolerance;
    s.binding = {{"batch", 3}};
    if (boolean_kind) s.low = 0, s.high = 1;
    return s;
  };
  const auto type = [](Shape shape) {
    return TensorType{boolean_kind ? DType::kBool : DType::kF32, std::move(shape)};
  };
  const Dim batch = Dim::symbol("batch");
  std::vector<OpSample> result = {sample("all", type({3, 5}), {}, 1e-5),
                                  sample("rows", type({4, 37}), {{-1}, true}, 1e-5),
                                  sample("columns", type({7, 5}), {{0}}, 1e-5),
                                  sample("middle", type({2, 6, 5}), {{1}, true}, 1e-5),
                                  sample("outer", type({2, 3, 4, 2}), {{0, 2, 3}}, 1e-5),
                                  sample("symbolic", type({batch, 5}), {{0}}, 1e-5),
                                  sample("symbolic_rows", type({batch, 5}), {{1}, true}, 1e-5),
                                  sample("scalar", type({}), {}, 1e-5)};
  if (boolean_kind) return result;
  result.push_back(sample("f64", f64({3, 5}), {{1}}, 1e-12));
  result.push_back(sample("f16", f16({3, 5}), {{1}}, 4e-3));
  result.push_back(sample("bf16", bf16({3, 5}), {{1}}, 3e-2));
  if (K != Kind::kMean) {
    result.push_back(sample("i32", i32({3, 5}), {{1}}, 0));
    result.push_back(sample("i64", i64({3, 5}), {{0}}, 0));
  }
  if (K == Kind::kMax || K == Kind::kMin) {
    // Integers as reals: with ties, whose shares a central difference does not show.
    result.push_back(sample("i32_ties", i32({4, 9}), {{1}}, 0));
  }
  return result;
}

template <Kind K>
OpDef definition(const char* name) {
  OpDef op;
  op.name = name;
  op.attributes = AttributesSchema::of<ReduceAttributes>();
  op.infer = infer<K>;
  op.reference = reference<K>;
  op.differentiable = OpDef::Gradient::kNone;
  op.samples = samples<K>;
  if (K != Kind::kAny && K != Kind::kAll) {
    op.differentiable = OpDef::Gradient::kRule;
    op.gradient = gradient<K>;
  }
  return op;
}

// ---- argmax, argmin

absl::Status infer_arg(InferenceContext& c) {
  const auto& a = c.attributes.as<ArgReduceAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  MODELLIB_ASSIGN_OR_RETURN(const int axis, normal_axis(a.axis, c.input(0).rank()));
  const auto reduced = reduced_axes({a.axis}, c.input(0).rank());
  MODELLIB_RETURN_IF_ERROR(
      c.require_at_most(1, c.input(0).shape[static_cast<size_t>(axis)],
                        absl::StrCat("an element to choose along axis ", axis)));
  c.outputs.push_back({DType::kI64, reduced_shape(c.input(0).shape, reduced, a.keepdims)});
  return absl::OkStatus();
}

template <bool largest>
absl::Status reference_arg(ReferenceContext& c) {
  const Tensor& x = c.in(0);
  const int axis = axis_of(c.attributes.as<ArgReduceAttributes>().axis, x.rank());
  const int64_t extent = x.shape()[static_cast<size_t>(axis)];
  const int64_t stride = strides_of(x.shape())[static_cast<size_t>(axis)];
  std::vector<int64_t> best(static_cast<size_t>(c.out(0).elements()), -1);
  for_each_reduced(x.shape(), reduced_axes({axis}, x.rank()), [&](int64_t from, int64_t to) {
    int64_t& b = best[static_cast<size_t>(to)];
    if (b < 0 || better(x, from, b, largest)) b = from;
  });
  for (size_t i = 0; i < best.size(); ++i) {
    if (best[i] < 0) return absl::InvalidArgumentError("an axis has no element to choose");
    c.out(0).set_int(static_cast<int64_t>(i), best[i] / stride % extent);
  }
  return absl::OkStatus();
}

std::vector<OpSample> samples_arg() {
  const auto sample = [](const char* name, TensorType type, ArgReduceAttributes a) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type)};
    s.attributes = Attributes::of(a);
    s.binding = {{"batch", 3}};
    s.tolerance = 0;
    return s;
  };
  return {sample("rows", f32({4, 37}), {}), sample("columns", f32({5, 3}), {0, true}),
          sample("ties", i32({4, 9}), {1}),
          sample("symbolic", f32({Dim::symbol("batch"), 10}), {1})};
}

template <bool largest>
OpDef arg_definition(const char* name) {
  OpDef op;
  op.name = name;
  op.attributes = AttributesSchema::of<ArgReduceAttributes>();
  op.infer = infer_arg;
  op.reference = reference_arg<largest>;
  op.differentiable = OpDef::Gradient::kNone;
  op.samples = samples_arg;
  return op;
}

// ---- cumsum

absl::Status infer_cumsum(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  MODELLIB_RETURN_IF_ERROR(
      normal_axis(c.attributes.as<CumsumAttributes>().axis, c.input(0).rank()).status());
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}

absl::Status reference_cumsum(ReferenceContext& c) {
  const auto& a = c.attributes.as<CumsumAttributes>();
  const Tensor& x = c.in(0);
  const auto axis = static_cast<size_t>(axis_of(a.axis, x.rank()));
  const int64_t extent = x.shape()[axis], stride = strides_of(x.shape())[axis];
  for_each_index(x.shape(), [&](absl::Span<const int64_t> index) {
    if (index[axis] != 0) return;
    const int64_t base = offset_of(index, x.shape());
    double real = 0;
    uint64_t whole = 0;
    for (int64_t k = 0; k < extent; ++k) {
      const int64_t i = base + (a.reverse ? extent - 1 - k : k) * stride;
      const double before = real;
      const uint64_t whole_before = whole;
      if (is_floating(x.dtype())) {
        real += x.at(i);
        c.out(0).set(i, a.exclusive ? before : real);
      } else {
        whole += static_cast<uint64_t>(x.int_at(i));
        c.out(0).set_int(i, static_cast<int64_t>(a.exclusive ? whole_before : whole));
      }
    }
  });
  return absl::OkStatus();
}

std::vector<Value> gradient_cumsum(OpCall& c, absl::Span<const Value> g) {
  CumsumAttributes a = c.attributes.as<CumsumAttributes>();
  a.reverse = !a.reverse;
  return {cumsum(g[0], a)};
}

std::vector<OpSample> samples_cumsum() {
  const auto sample = [](const char* name, TensorType type, CumsumAttributes a) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(type)};
    s.attributes = Attributes::of(a);
    s.binding = {{"batch", 3}};
    return s;
  };
  return {sample("rows", f32({3, 17}), {}), sample("exclusive", f32({3, 5}), {0, true}),
          sample("reverse", f32({2, 5, 3}), {1, false, true}),
          sample("exclusive_reverse", f32({Dim::symbol("batch"), 5}), {0, true, true}),
          sample("i64", i64({2, 5}), {})};
}

}  // namespace

std::vector<OpDef> reduce_ops() {
  OpDef cumsum;
  cumsum.name = "cumsum";
  cumsum.attributes = AttributesSchema::of<CumsumAttributes>();
  cumsum.infer = infer_cumsum;
  cumsum.reference = reference_cumsum;
  cumsum.differentiable = OpDef::Gradient::kRule;
  cumsum.gradient = gradient_cumsum;
  cumsum.samples = samples_cumsum;
  return {definition<Kind::kSum>("reduce_sum"),   definition<Kind::kMean>("reduce_mean"),
          definition<Kind::kMax>("reduce_max"),   definition<Kind::kMin>("reduce_min"),
          definition<Kind::kProd>("reduce_prod"), definition<Kind::kAny>("reduce_any"),
          definition<Kind::kAll>("reduce_all"),   arg_definition<true>("argmax"),
          arg_definition<false>("argmin"),        cumsum};
}

namespace {
Value reduce(const char* op, Value x, ReduceAttributes a) {
  return emit_op_one(op, {x}, Attributes::of(std::move(a)));
}
}  // namespace

Value reduce_sum(Value x, ReduceAttributes a) { return reduce("reduce_sum", x, std::move(a)); }
Value reduce_mean(Value x, ReduceAttributes a) { return reduce("reduce_mean", x, std::move(a)); }
Value reduce_max(Value x, ReduceAttributes a) { return reduce("reduce_max", x, std::move(a)); }
Value reduce_min(Value x, ReduceAttributes a) { return reduce("reduce_min", x, std::move(a)); }
Value reduce_prod(Value x, ReduceAttributes a) { return reduce("reduce_prod", x, std::move(a)); }
Value reduce_any(Value x, ReduceAttributes a) { return reduce("reduce_any", x, std::move(a)); }
Value reduce_all(Value x, ReduceAttributes a) { return reduce("reduce_all", x, std::move(a)); }
Value argmax(Value x, ArgReduceAttributes a) {
  return emit_op_one("argmax", {x}, Attributes::of(a));
}
Value argmin(Value x, ArgReduceAttributes a) {
  return emit_op_one("argmin", {x}, Attributes::of(a));
}
Value cumsum(Value x, CumsumAttributes a) { return emit_op_one("cumsum", {x}, Attributes::of(a)); }

Value count_along(Value x, absl::Span<const int64_t> axes) {
  if (x.is_null() || x.is_poisoned()) return x;
  if (absl::Status s = normal_axes(axes, x.rank()).status(); !s.ok()) {
    return x.builder()->poison(std::move(s));
  }
  const auto reduced = reduced_axes(axes, x.rank());
  Dim count = 1;
  for (size_t d = 0; d < reduced.size(); ++d) {
    if (reduced[d]) count = count * x.shape()[d];
  }
  if (count.is_static()) return x.builder()->scalar(static_cast<double>(count.value()), x.dtype());
  return cast(dim_value(*x.builder(), count), x.dtype());
}

Value restore_axes(Value reduced, const Shape& shape, absl::Span<const int64_t> axes) {
  const auto gone = reduced_axes(axes, static_cast<int>(shape.size()));
  return reshape(reduced, reduced_shape(shape, gone, true));
}

}  // namespace modellib
