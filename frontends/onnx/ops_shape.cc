// Constants, extents, and ops that give elements another shape.
#include <algorithm>
#include <cmath>
#include <utility>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/element_types.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/index.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {

Value extents_of(GraphBuilder& builder, const Shape& dims) {
  return builder.emit_one("dim_value", {}, Attributes::of(DimValueAttributes{dims}));
}

Value first_if_equal(Value x, const Dim& a, const Dim& b) {
  GraphBuilder& builder = *x.builder();
  const Value same = equal(dim_value(builder, a), dim_value(builder, b));
  const Value zero = builder.constant(Tensor::scalar<int64_t>(0));
  // 1 is out of range: the slice has one element.
  return gather(slice_axis(x, 0, 0, 1), where(same, zero, 1.0), 0);
}

absl::StatusOr<Dim> known_whole_number(NodeView& n, int i) {
  const auto real = n.known_real(i);
  if (!is_floating(n.in(i).dtype()) || !real.ok()) return n.known_dim(i);
  if (*real != std::floor(*real) || std::fabs(*real) > 1e9) {
    return absl::UnimplementedError(
        absl::StrCat("operand ", i, " must be a whole number, is ", *real));
  }
  return Dim(static_cast<int64_t>(*real));
}

namespace {

absl::StatusOr<Values> identity(NodeView& n) {
  if (n.inputs() == 0) return absl::InvalidArgumentError("operand 0 is missing");
  n.give({n.item(0)});
  return Values{};
}

absl::StatusOr<Values> constant(NodeView& n) {
  GraphBuilder& b = n.builder();
  if (const auto* proto = n.tensor_proto("value")) {
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, n.context().tensor(*proto));
    return Values{b.constant(std::move(tensor))};
  }
  if (n.has_attribute("value_float")) return Values{b.scalar(n.real("value_float", 0))};
  if (n.has_attribute("value_int")) {
    return Values{b.constant(Tensor::scalar<int64_t>(n.integer("value_int", 0)))};
  }
  if (n.has_attribute("value_floats")) {
    const std::vector<double> numbers = n.reals("value_floats");
    const std::vector<float> narrow(numbers.begin(), numbers.end());
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor,
                              Tensor::of<float>({static_cast<int64_t>(narrow.size())}, narrow));
    return Values{b.constant(std::move(tensor))};
  }
  if (n.has_attribute("value_ints")) {
    const std::vector<int64_t> numbers = n.integers("value_ints");
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor,
                              Tensor::of<int64_t>({static_cast<int64_t>(numbers.size())}, numbers));
    return Values{b.constant(std::move(tensor))};
  }
  if (const auto* proto = n.sparse_tensor_proto("sparse_value")) {
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, n.context().tensor(*proto));
    return Values{b.constant(std::move(tensor))};
  }
  for (const char* other : {"value_string", "value_strings"}) {
    if (n.has_attribute(other)) {
      return absl::UnimplementedError(absl::StrCat("a constant given as ", other));
    }
  }
  return absl::InvalidArgumentError("it has no value");
}

absl::Status check_extents(const Shape& shape) {
  constexpr size_t kMaxRank = 64;
  if (shape.size() > kMaxRank) {
    return absl::InvalidArgumentError(absl::StrCat("a result of rank ", shape.size()));
  }
  for (const Dim& d : shape) {
    if (d.is_static() && d.value() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("negative extent in shape ", to_string(shape)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Values> constant_of_shape(NodeView& n) {
  Value value = n.builder().scalar(0);
  if (const auto* proto = n.tensor_proto("value")) {
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, n.context().tensor(*proto));
    if (tensor.elements() != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("value has ", tensor.elements(), " elements, expected one"));
    }
    MODELLIB_ASSIGN_OR_RETURN(tensor, tensor.reshaped({}));
    value = n.builder().constant(std::move(tensor));
  }
  MODELLIB_ASSIGN_OR_RETURN(Shape shape, n.known_dims(0));
  MODELLIB_RETURN_IF_ERROR(check_extents(shape));
  return Values{broadcast_to(value, std::move(shape))};
}

absl::StatusOr<Values> extents(NodeView& n) {
  const Shape& shape = n.in(0).shape();
  const auto rank = static_cast<int64_t>(shape.size());
  const auto clamped = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = clamped(n.integer("start", 0)), end = clamped(n.integer("end", rank));
  const Shape part(shape.begin() + start, shape.begin() + std::max(start, end));
  return Values{extents_of(n.builder(), part)};
}

absl::StatusOr<Values> size(NodeView& n) {
  return Values{dim_value(n.builder(), element_count(n.in(0).shape()))};
}

// 0 keeps the operand's extent (unless allowzero), one -1 is what remains.
absl::StatusOr<Values> reshape_to(NodeView& n, Shape shape) {
  const Value x = n.in(0);
  const bool keep = !n.flag("allowzero", false);
  int open = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!shape[i].is_static()) continue;
    if (shape[i].value() == 0 && keep) {
      if (i >= x.shape().size()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "shape ", to_string(shape), " keeps an axis that ", to_string(x.type()), " lacks"));
      }
      shape[i] = x.shape()[i];
    } else if (shape[i].value() == -1) {
      ++open;
    } else if (shape[i].value() < -1) {
      return absl::InvalidArgumentError(absl::StrCat("extent ", shape[i].value(), " in a shape"));
    }
  }
  if (open > 1) {
    return absl::InvalidArgumentError(absl::StrCat("shape ", to_string(shape), " has two -1"));
  }
  return Values{reshape(x, std::move(shape))};
}

absl::StatusOr<Values> reshape_by_attribute(NodeView& n) {
  const std::vector<int64_t> shape = n.integers("shape");
  return reshape_to(n, Shape(shape.begin(), shape.end()));
}

// One extent that nobody knows is what the others leave.
absl::StatusOr<Values> reshape_by_operand(NodeView& n) {
  const std::vector<Number>* numbers = n.contents(1);
  if (numbers == nullptr) return n.unknown_operand(1);
  Shape shape;
  bool open = false;
  for (const Number& number : *numbers) {
    const bool known = number.kind == Number::Kind::kInteger;
    if (!known && open) return n.unknown_operand(1);
    shape.push_back(known ? number.integer : Dim(-1));
    open = open || shape.back() == Dim(-1);
  }
  return reshape_to(n, std::move(shape));
}

absl::StatusOr<Values> flatten_to_matrix(NodeView& n) {
  const Value x = n.in(0);
  int64_t axis = n.integer("axis", 1);
  if (axis < -x.rank() || axis > x.rank()) {
    return absl::InvalidArgumentError(absl::StrCat("axis is ", axis, " for ", to_string(x.type())));
  }
  if (axis < 0) axis += x.rank();
  const absl::Span<const Dim> shape = x.shape();
  return Values{reshape(x, {element_count(shape.first(static_cast<size_t>(axis))),
                            element_count(shape.subspan(static_cast<size_t>(axis)))})};
}

template <AxesFrom kFrom>
absl::StatusOr<Values> squeeze_axes(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, axes_of(n, kFrom));
  Value x = n.in(0);
  // A free extent that is squeezed must be 1.
  Shape shape;
  std::vector<bool> drop(x.shape().size(), false);
  for (int64_t axis : axes) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t front, front_axis(axis, x.rank()));
    drop[static_cast<size_t>(front)] = true;
  }
  for (size_t d = x.shape().size(); n.builder().depth() > 0 && d-- > 0;) {
    if (!drop[d] || x.shape()[d].is_static()) continue;
    std::vector<int64_t> to_front = {static_cast<int64_t>(d)};
    for (size_t i = 0; i < x.shape().size(); ++i) {
      if (i != d) to_front.push_back(static_cast<int64_t>(i));
    }
    x = first_if_equal(transpose(x, std::move(to_front)), x.shape()[d], 1);
    drop.erase(drop.begin() + static_cast<int64_t>(d));
  }
  for (size_t d = 0; d < x.shape().size(); ++d) {
    if (axes.empty() ? x.shape()[d] == Dim(1) : drop[d]) {
      x.builder()->require_equal(x.shape()[d], 1, absl::StrCat("axis ", d, " is squeezed"));
    } else {
      shape.push_back(x.shape()[d]);
    }
  }
  return Values{reshape(x, std::move(shape))};
}

template <AxesFrom kFrom>
absl::StatusOr<Values> unsqueeze_axes(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(std::vector<int64_t> axes, axes_of(n, kFrom));
  return Values{unsqueeze(n.in(0), std::move(axes))};
}

absl::StatusOr<Values> permute(NodeView& n) {
  return Values{transpose(n.in(0), n.integers("perm"))};
}

// Both shapes broadcast against each other.
absl::StatusOr<Values> expand(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(Shape shape, n.known_dims(1));
  MODELLIB_RETURN_IF_ERROR(check_extents(shape));
  const Shape& own = x.shape();
  if (shape.size() < own.size()) shape.insert(shape.begin(), own.size() - shape.size(), Dim(1));
  const size_t lead = shape.size() - own.size();
  for (size_t i = 0; i < own.size(); ++i) {
    // Of an extent that is a number other than 1 and a free one, the number it must be.
    Dim& wanted = shape[lead + i];
    if (wanted == Dim(1) || (own[i].is_static() && !(own[i] == Dim(1)) && !wanted.is_static())) {
      wanted = own[i];
    }
  }
  return Values{broadcast_to(x, std::move(shape))};
}

absl::StatusOr<Values> repeat(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const Shape repeats, n.known_dims(1));
  MODELLIB_RETURN_IF_ERROR(check_extents(repeats));
  if (repeats.size() != x.shape().size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(repeats.size(), " repeats for ", to_string(x.type())));
  }
  // Each axis gets one of repeats before it, and both become one.
  Shape apart, spread, joined;
  for (size_t d = 0; d < repeats.size(); ++d) {
    apart.insert(apart.end(), {1, x.shape()[d]});
    spread.insert(spread.end(), {repeats[d], x.shape()[d]});
    joined.push_back(x.shape()[d] * repeats[d]);
  }
  return Values{
      reshape(broadcast_to(reshape(x, std::move(apart)), std::move(spread)), std::move(joined))};
}

absl::StatusOr<Values> range(NodeView& n) {
  GraphBuilder& b = n.builder();
  const DType dtype = n.in(0).dtype();
  const auto is_real = [&](int i) { return n.known_real(i).ok(); };
  if (is_floating(dtype) && is_real(0) && is_real(1) && is_real(2)) {
    MODELLIB_ASSIGN_OR_RETURN(const double start, n.known_real(0));
    MODELLIB_ASSIGN_OR_RETURN(const double limit, n.known_real(1));
    MODELLIB_ASSIGN_OR_RETURN(const double delta, n.known_real(2));
    const double count = std::ceil((limit - start) / delta);
    constexpr double kMost = 1e9;
    if (delta == 0 || !(count < kMost)) return absl::InvalidArgumentError("an endless range");
    const auto length = static_cast<int64_t>(std::max(0.0, count));
    return Values{iota(b, {length}, {.axis = 0, .dtype = dtype}) * delta + start};
  }
  // An extent may have been cast to a float, and stands beside floats that are constant.
  MODELLIB_ASSIGN_OR_RETURN(const Dim start, known_whole_number(n, 0));
  MODELLIB_ASSIGN_OR_RETURN(const Dim limit, known_whole_number(n, 1));
  MODELLIB_ASSIGN_OR_RETURN(const Dim step, known_whole_number(n, 2));
  if (!step.is_static()) return absl::UnimplementedError("operand 2 must be constant");
  // Beyond, a double does not hold every integer.
  constexpr int64_t kFarthest = int64_t{1} << 53;
  for (const Dim* d : {&start, &limit, &step}) {
    if (d->is_static() && (d->value() < -kFarthest || d->value() > kFarthest)) {
      return absl::UnimplementedError(absl::StrCat("a range with ", d->value()));
    }
  }
  const int64_t delta = step.value();
  if (delta == 0) return absl::InvalidArgumentError("an endless range");
  Dim count =
      delta > 0 ? ceil_div(limit - start, Dim(delta)) : ceil_div(start - limit, Dim(-delta));
  if (n.context().range_of(count).min < 0) count = max(count, Dim(0));
  Value steps = iota(b, {count}, {.axis = 0, .dtype = dtype});
  if (delta != 1) steps = steps * static_cast<double>(delta);
  if (start == Dim(0)) return Values{steps};
  return Values{steps + (start.is_static() ? b.scalar(static_cast<double>(start.value()), dtype)
                                           : cast(dim_value(b, start), dtype))};
}

absl::StatusOr<Values> triangle(NodeView& n) {
  int64_t diagonal = 0;
  if (n.has(1)) {
    MODELLIB_ASSIGN_OR_RETURN(diagonal, n.known_integer(1));
  }
  const Value x = n.in(0);
  return Values{n.flag("upper", true) ? triu(x, diagonal) : tril(x, diagonal)};
}

absl::StatusOr<Values> eye_like(NodeView& n) {
  const Value x = n.in(0);
  if (x.rank() != 2) return absl::InvalidArgumentError("its operand must have rank 2");
  DType dtype = x.dtype();
  if (n.has_attribute("dtype")) {
    MODELLIB_ASSIGN_OR_RETURN(dtype, dtype_of_onnx(n.integer("dtype", 0)));
  }
  const Value row = iota(n.builder(), {x.dim(0), 1}, {.axis = 0});
  const Value column = iota(n.builder(), {1, x.dim(1)}, {.axis = 1});
  return Values{cast(equal(column - row, static_cast<double>(n.integer("k", 0))), dtype)};
}

// [batch, channels, height, width], blocks of `size` to the channels or from them. The size is an
// extent, whose products do not overflow.
absl::StatusOr<Values> depth_to_space(NodeView& n) {
  const Value x = n.in(0);
  const Dim size = n.integer("blocksize", 0);
  if (x.rank() != 4 || size.value() < 1) {
    return absl::InvalidArgumentError("it takes rank 4 and a positive blocksize");
  }
  const std::string mode = n.text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") {
    return absl::InvalidArgumentError(absl::StrCat("mode '", mode, "'"));
  }
  const Dim depth = x.dim(1) / (size * size), h = x.dim(2), w = x.dim(3);
  const Value apart = mode == "DCR" ? reshape(x, {x.dim(0), size, size, depth, h, w})
                                    : reshape(x, {x.dim(0), depth, size, size, h, w});
  const Value moved =
      mode == "DCR" ? transpose(apart, {0, 3, 4, 1, 5, 2}) : transpose(apart, {0, 1, 4, 2, 5, 3});
  return Values{reshape(moved, {x.dim(0), depth, h * size, w * size})};
}

absl::StatusOr<Values> space_to_depth(NodeView& n) {
  const Value x = n.in(0);
  const Dim size = n.integer("blocksize", 0);
  if (x.rank() != 4 || size.value() < 1) {
    return absl::InvalidArgumentError("it takes rank 4 and a positive blocksize");
  }
  const std::string mode = n.text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD") {
    return absl::InvalidArgumentError(absl::StrCat("mode '", mode, "'"));
  }
  const Dim c = x.dim(1), h = x.dim(2) / size, w = x.dim(3) / size;
  const Value apart = reshape(x, {x.dim(0), c, h, size, w, size});
  const Value moved =
      mode == "DCR" ? transpose(apart, {0, 3, 5, 1, 2, 4}) : transpose(apart, {0, 1, 3, 5, 2, 4});
  return Values{reshape(moved, {x.dim(0), c * (size * size), h, w})};
}

constexpr auto kAttribute = AxesFrom::kAttribute;
constexpr auto kOperand = AxesFrom::kOperand;

constexpr OpEntry kEntries[] = {
    {"Constant", 1, kNow, 0, 0, Takes::kAny, constant},
    {"ConstantOfShape", 9, kNow, 1, 1, Takes::kInteger, constant_of_shape},
    {"DepthToSpace", 1, kNow, 1, 1, Takes::kAny, depth_to_space},
    {"Expand", 8, kNow, 2, 2, Takes::kAny, expand},
    {"EyeLike", 9, kNow, 1, 1, Takes::kAny, eye_like},
    {"Flatten", 1, kNow, 1, 1, Takes::kAny, flatten_to_matrix},
    {"Identity", 1, kNow, 0, 1, Takes::kItem, identity},
    {"Range", 11, kNow, 3, 3, Takes::kNumber, range},
    {"Reshape", 1, 5, 1, 1, Takes::kAny, reshape_by_attribute},
    {"Reshape", 5, kNow, 2, 2, Takes::kAny, reshape_by_operand},
    {"Shape", 1, kNow, 1, 1, Takes::kAny, extents},
    {"Size", 1, kNow, 1, 1, Takes::kAny, size},
    {"SpaceToDepth", 1, kNow, 1, 1, Takes::kAny, space_to_depth},
    {"Squeeze", 1, 13, 1, 1, Takes::kAny, squeeze_axes<kAttribute>},
    {"Squeeze", 13, kNow, 1, 2, Takes::kAny, squeeze_axes<kOperand>},
    {"Tile", 6, kNow, 2, 2, Takes::kAny, repeat},
    {"Transpose", 1, kNow, 1, 1, Takes::kAny, permute},
    {"Trilu", 14, kNow, 1, 2, Takes::kAny, triangle},
    {"Unsqueeze", 1, 13, 1, 1, Takes::kAny, unsqueeze_axes<kAttribute>},
    {"Unsqueeze", 13, kNow, 2, 2, Takes::kAny, unsqueeze_axes<kOperand>},
};

}  // namespace

absl::Span<const OpEntry> shape_entries() { return kEntries; }

}  // namespace modellib::onnx
