// The primitives against PyTorch: a row for each golden file.
#include <gtest/gtest.h>

#include "modellib/ops/conv.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/repeat.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/golden_check.h"

namespace modellib {
namespace {

using Values = std::vector<Value>;

GoldenBuild of_x(Value (*f)(Value)) {
  return [f](GoldenCall& c) { return Values{f(c.in("x"))}; };
}
GoldenBuild of_ab(Value (*f)(Value, Value)) {
  return [f](GoldenCall& c) { return Values{f(c.in("a"), c.in("b"))}; };
}
GoldenBuild of_axes(Value (*f)(Value, ReduceAttributes)) {
  return [f](GoldenCall& c) {
    return Values{f(c.in("x"), {.axes = c.integers("dim"), .keepdims = c.flag("keepdim")})};
  };
}
GoldenBuild of_axis(Value (*f)(Value, ArgReduceAttributes)) {
  return [f](GoldenCall& c) {
    return Values{f(c.in("x"), {.axis = c.integer("dim"), .keepdims = c.flag("keepdim")})};
  };
}
// torch.max along an axis: unlike amax its gradient goes to the element it points at.
GoldenBuild with_indices(Value (*arg)(Value, ArgReduceAttributes)) {
  return [arg](GoldenCall& c) {
    const int64_t axis = c.integer("dim");
    const Value at = arg(c.in("x"), {.axis = axis, .keepdims = true});
    const Value values = gather_elements(c.in("x"), at, axis);
    if (c.flag("keepdim")) return Values{values, at};
    return Values{squeeze(values, {axis}), squeeze(at, {axis})};
  };
}
GoldenBuild of_diagonal(Value (*f)(Value, int64_t)) {
  return [f](GoldenCall& c) { return Values{f(c.in("x"), c.integer("diagonal"))}; };
}

// torch.matmul takes vectors too.
Values matmul_case(GoldenCall& c) {
  Value a = c.in("a"), b = c.in("b");
  const bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a = unsqueeze(a, {0});
  if (column) b = unsqueeze(b, {1});
  Value y = matmul(a, b);
  if (column) y = squeeze(y, {-1});
  if (row) y = squeeze(y, {column ? -1 : -2});
  return {y};
}

Values conv_case(GoldenCall& c) {
  const Value bias = c.in("bias");
  const Value y = conv(c.in("x"), c.in("weight"),
                       {.strides = c.integers("stride"),
                        .padding_low = c.integers("padding"),
                        .padding_high = c.integers("padding"),
                        .dilations = c.integers("dilation"),
                        .groups = c.integer("groups")});
  if (bias.is_null()) return {y};
  Shape channels(y.shape().size(), 1);
  channels[1] = bias.dim(0);
  return {y + reshape(bias, channels)};
}

PoolAttributes pool_attributes(GoldenCall& c) {
  PoolAttributes a{.kernel = c.integers("kernel_size"),
                   .strides = c.integers("stride"),
                   .padding_low = c.integers("padding"),
                   .padding_high = c.integers("padding"),
                   .ceil_mode = c.flag("ceil_mode")};
  if (c.attrs().has("dilation")) a.dilations = c.integers("dilation");
  if (c.attrs().has("count_include_pad")) a.count_include_pad = c.flag("count_include_pad");
  return a;
}

// PyTorch lists the pads of the last axis first.
Values pad_case(GoldenCall& c) {
  const Value x = c.in("x");
  const std::vector<int64_t> pads = c.integers("pad");
  const auto rank = static_cast<size_t>(x.rank());
  PadAttributes a{.low = std::vector<int64_t>(rank), .high = std::vector<int64_t>(rank)};
  for (size_t i = 0; 2 * i < pads.size(); ++i) {
    a.low[rank - 1 - i] = pads[2 * i];
    a.high[rank - 1 - i] = pads[2 * i + 1];
  }
  if (c.attrs().has("value")) a.value = c.real("value");
  a.mode = c.text("mode") == "replicate"  ? "edge"
           : c.text("mode") == "circular" ? "wrap"
                                          : c.text("mode");
  return {pad(x, a)};
}

Shape shape_of(const std::vector<int64_t>& extents) {
  return Shape(extents.begin(), extents.end());
}

const std::vector<GoldenEntry>& entries() {
  static const auto* const all = new std::vector<GoldenEntry>{
      {"abs", of_x(abs)},
      {"ceil", of_x(ceil)},
      {"cos", of_x(cos)},
      {"erf", of_x(erf)},
      {"exp", of_x(exp)},
      {"expm1", of_x(expm1)},
      {"floor", of_x(floor)},
      {"log", of_x(log)},
      {"log1p", of_x(log1p)},
      {"neg", of_x(neg)},
      {"reciprocal", of_x(reciprocal)},
      {"relu", of_x(relu)},
      {"round", of_x(round)},
      {"rsqrt", of_x(rsqrt)},
      {"sigmoid", of_x(sigmoid)},
      {"sign", of_x(sign)},
      {"sin", of_x(sin)},
      {"sqrt", of_x(sqrt)},
      {"square", of_x(square)},
      {"tanh", of_x(tanh)},
      {"add", of_ab(add)},
      {"sub", of_ab(sub)},
      {"mul", of_ab(mul)},
      {"div", of_ab(div)},
      {"minimum", of_ab(minimum)},
      {"maximum", of_ab(maximum)},
      {"eq", of_ab(equal)},
      {"ne", of_ab(not_equal)},
      {"lt", of_ab(less)},
      {"le", of_ab(less_equal)},
      {"gt", of_ab(greater)},
      {"ge", of_ab(greater_equal)},
      {"pow",
       [](GoldenCall& c) {
         const Value exponent = c.in("exponent");
         return Values{exponent.is_null() ? pow(c.in("x"), c.real("exponent"))
                                          : pow(c.in("x"), exponent)};
       }},
      {"where",
       [](GoldenCall& c) { return Values{where(c.in("condition"), c.in("a"), c.in("b"))}; }},
      {"sum", of_axes(reduce_sum)},
      {"mean", of_axes(reduce_mean)},
      {"amax", of_axes(reduce_max)},
      {"amin", of_axes(reduce_min)},
      {"prod", of_axes(reduce_prod)},
      {"any", of_axes(reduce_any)},
      {"all", of_axes(reduce_all)},
      {"argmax", of_axis(argmax)},
      {"argmin", of_axis(argmin)},
      {"max", with_indices(argmax)},
      {"min", with_indices(argmin)},
      {"cumsum",
       [](GoldenCall& c) { return Values{cumsum(c.in("x"), {.axis = c.integer("dim")})}; }},
      {"matmul", matmul_case},
      {"conv1d", conv_case},
      {"conv2d", conv_case},
      {"max_pool2d", [](GoldenCall& c) { return Values{max_pool(c.in("x"), pool_attributes(c))}; }},
      {"avg_pool2d", [](GoldenCall& c) { return Values{avg_pool(c.in("x"), pool_attributes(c))}; }},
      {"adaptive_avg_pool2d",
       [](GoldenCall& c) {
         return Values{adaptive_avg_pool(c.in("x"), c.integers("output_size"))};
       }},
      {"adaptive_max_pool2d",
       [](GoldenCall& c) {
         return Values{adaptive_max_pool(c.in("x"), c.integers("output_size"))};
       }},
      {"concat",
       [](GoldenCall& c) {
         Values parts = {c.in("a"), c.in("b")};
         if (const Value third = c.in("c"); !third.is_null()) parts.push_back(third);
         return Values{concat(parts, c.integer("dim"))};
       }},
      {"stack",
       [](GoldenCall& c) {
         return Values{stack({c.in("a"), c.in("b")}, c.integer("dim"))};
       }},
      {"split",
       [](GoldenCall& c) { return split(c.in("x"), c.integers("sections"), c.integer("dim")); }},
      {"slice",
       [](GoldenCall& c) {
         return Values{slice_axis(c.in("x"), c.integer("dim"), c.integer("start"),
                                  c.integer("stop"), c.integer("step"))};
       }},
      {"flip", [](GoldenCall& c) { return Values{flip(c.in("x"), c.integers("dims"))}; }},
      {"reshape",
       [](GoldenCall& c) { return Values{reshape(c.in("x"), shape_of(c.integers("shape")))}; }},
      {"expand",
       [](GoldenCall& c) { return Values{broadcast_to(c.in("x"), shape_of(c.integers("size")))}; }},
      {"transpose", [](GoldenCall& c) { return Values{transpose(c.in("x"), c.integers("dims"))}; }},
      {"repeat_interleave",
       [](GoldenCall& c) { return Values{repeat_interleave(c.in("x"), c.integers("repeats"))}; }},
      {"tile", [](GoldenCall& c) { return Values{tile(c.in("x"), c.integers("dims"))}; }},
      {"tril", of_diagonal(tril)},
      {"triu", of_diagonal(triu)},
      {"pad", pad_case},
      {"gather",
       [](GoldenCall& c) {
         return Values{gather_elements(c.in("x"), c.in("index"), c.integer("dim"))};
       }},
      {"index_select",
       [](GoldenCall& c) { return Values{gather(c.in("x"), c.in("index"), c.integer("dim"))}; }},
      {"index_add",
       [](GoldenCall& c) {
         return Values{scatter_add(c.in("x"), c.in("index"), c.in("source"), c.integer("dim"))};
       }},
      {"scatter_add",
       [](GoldenCall& c) {
         return Values{scatter_elements(c.in("x"), c.in("index"), c.in("src"),
                                        {.axis = c.integer("dim"), .reduction = "add"})};
       }},
      {"one_hot",
       [](GoldenCall& c) {
         return Values{one_hot(c.in("indices"), c.integer("num_classes"), {.dtype = DType::kI64})};
       }},
      {"topk",
       [](GoldenCall& c) {
         const auto [values, indices] =
             top_k(c.in("x"),
                   {.k = c.integer("k"), .axis = c.integer("dim"), .largest = c.flag("largest")});
         return Values{values, indices};
       }},
  };
  return *all;
}

class PrimitiveGolden : public testing::TestWithParam<GoldenEntry> {};

TEST_P(PrimitiveGolden, IsWhatPyTorchComputes) { check_golden(GetParam()); }

INSTANTIATE_TEST_SUITE_P(File, PrimitiveGolden, testing::ValuesIn(entries()),
                         [](const auto& info) { return info.param.file; });

}  // namespace

// For gtest's messages: a std::function has no text.
std::ostream& operator<<(std::ostream& out, const GoldenEntry& e) { return out << e.file; }

}  // namespace modellib
