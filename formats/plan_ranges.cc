#include "modellib/formats/plan_ranges.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/plan_generated.h"

namespace modellib {
namespace {

using Wide = __int128;

constexpr size_t kMaxStack = 64;

struct WideRange {
  Wide min;
  Wide max;
};

Wide floor_div(Wide a, Wide b) {  // b > 0
  const Wide q = a / b;
  return a % b < 0 ? q - 1 : q;
}

WideRange product(const ValueRange& a, const ValueRange& b) {
  const std::array<Wide, 4> corners = {Wide{a.min} * b.min, Wide{a.min} * b.max,
                                       Wide{a.max} * b.min, Wide{a.max} * b.max};
  return {*std::min_element(corners.begin(), corners.end()),
          *std::max_element(corners.begin(), corners.end())};
}

WideRange quotient(const ValueRange& a, const ValueRange& b) {
  const std::array<Wide, 4> corners = {floor_div(a.min, b.min), floor_div(a.min, b.max),
                                       floor_div(a.max, b.min), floor_div(a.max, b.max)};
  return {*std::min_element(corners.begin(), corners.end()),
          *std::max_element(corners.begin(), corners.end())};
}

WideRange remainder(const ValueRange& a, const ValueRange& b) {
  if (b.min == b.max && floor_div(a.min, b.min) == floor_div(a.max, b.min)) {
    const Wide base = floor_div(a.min, b.min) * b.min;
    return {a.min - base, a.max - base};
  }
  if (a.min >= 0) return {0, std::min<Wide>(a.max, Wide{b.max} - 1)};
  return {0, Wide{b.max} - 1};
}

}  // namespace

absl::StatusOr<ValueRange> expression_range(absl::Span<const fb::DimOp> expression,
                                            absl::Span<const ValueRange> symbols) {
  std::array<ValueRange, kMaxStack> stack;
  size_t depth = 0;
  for (size_t i = 0; i < expression.size(); ++i) {
    const fb::DimOp& op = expression[i];
    const auto fail = [&](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("operation ", i, " of the expression ", what));
    };
    if (op.code() == fb::DimOpcode::Const || op.code() == fb::DimOpcode::Symbol) {
      if (depth == kMaxStack) return fail("needs a stack of more than 64 values");
      if (op.code() == fb::DimOpcode::Const) {
        stack[depth++] = {op.value(), op.value()};
        continue;
      }
      if (op.value() < 0 || static_cast<uint64_t>(op.value()) >= symbols.size()) {
        return fail(absl::StrCat("reads symbol ", op.value(), " of ", symbols.size()));
      }
      stack[depth++] = symbols[static_cast<size_t>(op.value())];
      continue;
    }
    if (depth < 2) return fail("finds fewer than two values on the stack");
    const ValueRange b = stack[--depth];
    const ValueRange a = stack[--depth];
    WideRange r = {0, 0};
    switch (op.code()) {
      case fb::DimOpcode::Add:
        r = {Wide{a.min} + b.min, Wide{a.max} + b.max};
        break;
      case fb::DimOpcode::Sub:
        r = {Wide{a.min} - b.max, Wide{a.max} - b.min};
        break;
      case fb::DimOpcode::Mul:
        r = product(a, b);
        break;
      case fb::DimOpcode::FloorDiv:
      case fb::DimOpcode::Mod:
        if (b.min < 1) return fail(absl::StrCat("divides by a value that may be ", b.min));
        r = op.code() == fb::DimOpcode::Mod ? remainder(a, b) : quotient(a, b);
        break;
      case fb::DimOpcode::Min:
        r = {std::min(a.min, b.min), std::min(a.max, b.max)};
        break;
      case fb::DimOpcode::Max:
        r = {std::max(a.min, b.min), std::max(a.max, b.max)};
        break;
      default:
        return fail(absl::StrCat("has the unknown code ", static_cast<int>(op.code())));
    }
    if (r.min < std::numeric_limits<int64_t>::min() ||
        r.max > std::numeric_limits<int64_t>::max()) {
      return fail("may give a value of more than 64 bits");
    }
    stack[depth++] = {static_cast<int64_t>(r.min), static_cast<int64_t>(r.max)};
  }
  if (depth != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the expression leaves ", depth, " values, expected one"));
  }
  return stack[0];
}

}  // namespace modellib
