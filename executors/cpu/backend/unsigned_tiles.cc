#include "modellib/executors/cpu/backend/unsigned_tiles.h"

#include <cstdint>
#include <limits>

namespace modellib::cpu {
namespace {

constexpr int64_t kTopBit = std::numeric_limits<int64_t>::min();
constexpr int64_t kOtherBits = std::numeric_limits<int64_t>::max();

TileValue number(TileProgramBuilder& b, int64_t value) {
  return b.constant_int(value, TileType::kI64);
}

// The signed number that stands where x does among the unsigned ones; and back.
TileValue turned(TileProgramBuilder& b, TileValue x) {
  return b.binary(TileOp::kXor, x, number(b, kTopBit));
}

TileValue is_large(TileProgramBuilder& b, TileValue x) {
  return b.binary(TileOp::kLt, x, number(b, 0));
}

// x / 2
TileValue half(TileProgramBuilder& b, TileValue x) {
  const TileValue shifted = b.binary(TileOp::kFloorDiv, x, number(b, 2));
  return b.binary(TileOp::kAnd, shifted, number(b, kOtherBits));
}

// Twice the quotient of half of x is right or one too small; by a large y it is 0 or 1.
TileValue quotient(TileProgramBuilder& b, TileValue x, TileValue y) {
  const TileValue zero = number(b, 0), one = number(b, 1);
  const TileValue of_half = b.binary(TileOp::kDiv, half(b, x), y);
  const TileValue q =
      b.ternary(TileOp::kSelect, is_large(b, y), zero, b.binary(TileOp::kAdd, of_half, of_half));
  const TileValue rest = b.binary(TileOp::kSub, x, b.binary(TileOp::kMul, q, y));
  const TileValue is_more = b.binary(TileOp::kGe, turned(b, rest), turned(b, y));
  const TileValue whole = b.binary(TileOp::kAdd, q, b.ternary(TileOp::kSelect, is_more, one, zero));
  return b.ternary(TileOp::kSelect, b.binary(TileOp::kEq, y, zero), zero, whole);
}

// Powers of odd numbers repeat after 2^62 steps, those of even ones are 0 from the 64th on: so a
// large exponent may lose its top bit, if it gets the next.
TileValue power(TileProgramBuilder& b, TileValue x, TileValue y) {
  const TileValue smaller = b.binary(TileOp::kOr, b.binary(TileOp::kAnd, y, number(b, kOtherBits)),
                                     number(b, int64_t{1} << 62));
  return b.binary(TileOp::kPow, x, b.ternary(TileOp::kSelect, is_large(b, y), smaller, y));
}

}  // namespace

TileValue unsigned_binary(TileProgramBuilder& builder, TileOp op, TileValue x, TileValue y) {
  switch (op) {
    case TileOp::kLt:
    case TileOp::kLe:
    case TileOp::kGt:
    case TileOp::kGe:
      return builder.binary(op, turned(builder, x), turned(builder, y));
    case TileOp::kMin:
    case TileOp::kMax:
      return turned(builder, builder.binary(op, turned(builder, x), turned(builder, y)));
    case TileOp::kFloorDiv:
      return quotient(builder, x, y);
    case TileOp::kMod:
      return builder.binary(TileOp::kSub, x,
                            builder.binary(TileOp::kMul, quotient(builder, x, y), y));
    case TileOp::kPow:
      return power(builder, x, y);
    default:
      return builder.binary(op, x, y);
  }
}

TileValue unsigned_reduce(TileProgramBuilder& builder, TileOp op, TileValue x) {
  if (op != TileOp::kReduceMax && op != TileOp::kReduceMin) return builder.reduce(op, x);
  return turned(builder, builder.reduce(op, turned(builder, x)));
}

TileValue unsigned_to_float(TileProgramBuilder& builder, TileValue x, TileType to) {
  // Of a large number half, doubled: the last bit stays, so that it is rounded to the same side.
  const TileValue last = builder.binary(TileOp::kAnd, x, number(builder, 1));
  const TileValue halved = builder.cast(builder.binary(TileOp::kOr, half(builder, x), last), to);
  return builder.ternary(TileOp::kSelect, is_large(builder, x),
                         builder.binary(TileOp::kAdd, halved, halved), builder.cast(x, to));
}

TileValue float_to_unsigned(TileProgramBuilder& builder, TileValue x) {
  const TileType type = builder.type(x);
  const TileValue top = builder.constant(0x1p63, type);
  const TileValue small =
      builder.cast(builder.binary(TileOp::kMax, x, builder.constant(0, type)), TileType::kI64);
  const TileValue large =
      turned(builder, builder.cast(builder.binary(TileOp::kSub, x, top), TileType::kI64));
  return builder.ternary(TileOp::kSelect, builder.binary(TileOp::kGe, x, top), large, small);
}

}  // namespace modellib::cpu
