#include "modellib/executors/cpu/kernels/tile_interpreter.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "gtest/gtest.h"
#include "modellib/graph/philox.h"

namespace modellib::cpu {
namespace {

double nan_min(double a, double b) { return a != a || a < b ? a : b; }
double nan_max(double a, double b) { return a != a || a > b ? a : b; }

int64_t wrap(TileType t, int64_t v) { return t == TileType::kI32 ? static_cast<int32_t>(v) : v; }

int64_t saturate(double v, double low, double high, int64_t min, int64_t max) {
  if (v != v) return 0;
  return v < low ? min : v >= high ? max : static_cast<int64_t>(v);
}

Number compute(TileOp op, TileType t, TileType to, const Number* s, int64_t imm) {
  const bool fl = floating(t);
  const double a = s[0].f, b = s[1].f, c = s[2].f;
  const int64_t i = s[0].i, j = s[1].i, k = s[2].i;
  using U = uint64_t;
  const auto F = [](double v) { return Number{v, 0}; };
  const auto I = [](int64_t v) { return Number{0, v}; };
  switch (op) {
    case TileOp::kNeg:
      return fl ? F(-a) : I(static_cast<int64_t>(0 - U(i)));
    case TileOp::kAbs:
      return fl ? F(std::fabs(a)) : I(i < 0 ? static_cast<int64_t>(0 - U(i)) : i);
    case TileOp::kSign:
      return fl ? F((a > 0) - (a < 0)) : I((i > 0) - (i < 0));
    case TileOp::kRelu:
      return fl ? F(a <= 0 ? 0 : a) : I(i < 0 ? 0 : i);
    case TileOp::kExp:
      return F(std::exp(a));
    case TileOp::kExpm1:
      return F(std::expm1(a));
    case TileOp::kLog:
      return F(std::log(a));
    case TileOp::kLog1p:
      return F(std::log1p(a));
    case TileOp::kSqrt:
      return F(std::sqrt(a));
    case TileOp::kRsqrt:
      return F(1 / std::sqrt(a));
    case TileOp::kReciprocal:
      return F(1 / a);
    case TileOp::kTanh:
      return F(std::tanh(a));
    case TileOp::kSigmoid:
      return F(1 / (1 + std::exp(-a)));
    case TileOp::kErf:
      return F(std::erf(a));
    case TileOp::kSin:
      return F(std::sin(a));
    case TileOp::kCos:
      return F(std::cos(a));
    case TileOp::kFloor:
      return F(std::floor(a));
    case TileOp::kCeil:
      return F(std::ceil(a));
    case TileOp::kRound:
      return F(std::nearbyint(a));
    case TileOp::kTrunc:
      return F(std::trunc(a));
    case TileOp::kIsNan:
      return I(std::isnan(a));
    case TileOp::kIsInf:
      return I(std::isinf(a));
    case TileOp::kIsFinite:
      return I(std::isfinite(a));
    case TileOp::kNot:
      return I(t == TileType::kBool ? !i : ~i);
    case TileOp::kRoundTo:
      switch (static_cast<DType>(imm)) {
        case DType::kF16:
          return F(to_f32(to_f16(static_cast<float>(a))));
        case DType::kBF16:
          return F(to_f32(to_bf16(static_cast<float>(a))));
        case DType::kI8:
          return I(static_cast<int8_t>(i));
        case DType::kU8:
          return I(static_cast<uint8_t>(i));
        case DType::kI16:
          return I(static_cast<int16_t>(i));
        case DType::kU16:
          return I(static_cast<uint16_t>(i));
        default:
          return I(static_cast<uint32_t>(i));
      }
    case TileOp::kCast:
      if (fl) {
        if (to == TileType::kI32) return I(saturate(a, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX));
        if (to == TileType::kI64) return I(saturate(a, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX));
        return to == TileType::kBool ? I(a != 0) : F(a);
      }
      return to == TileType::kF32 ? F(static_cast<float>(i)) : Number{static_cast<double>(i), i};
    case TileOp::kAdd:
      return fl ? F(a + b) : I(static_cast<int64_t>(U(i) + U(j)));
    case TileOp::kSub:
      return fl ? F(a - b) : I(static_cast<int64_t>(U(i) - U(j)));
    case TileOp::kMul:
      return fl ? F(a * b) : I(static_cast<int64_t>(U(i) * U(j)));
    case TileOp::kDiv:
      return fl ? F(a / b) : I(j == 0 ? 0 : j == -1 ? static_cast<int64_t>(0 - U(i)) : i / j);
    case TileOp::kFloorDiv:
      if (fl) return F(std::floor(a / b));
      if (j == 0) return I(0);
      if (j == -1) return I(static_cast<int64_t>(0 - U(i)));
      return I(i / j - ((i % j != 0) && ((i < 0) != (j < 0))));
    case TileOp::kMod:
      if (fl) {
        const double r = std::fmod(a, b);
        return F(r != 0 && (r < 0) != (b < 0) ? r + b : r);
      }
      if (j == 0 || j == -1) return I(j == 0 ? i : 0);
      return I(i % j + (i % j != 0 && (i < 0) != (j < 0) ? j : 0));
    case TileOp::kRem:
      return fl ? F(std::fmod(a, b)) : I(j == 0 || j == -1 ? 0 : i % j);
    case TileOp::kMin:
      return fl ? F(nan_min(a, b)) : I(std::min(i, j));
    case TileOp::kMax:
      return fl ? F(nan_max(a, b)) : I(std::max(i, j));
    case TileOp::kPow: {
      if (fl) return F(std::pow(a, b));
      if (j < 0) return I(i == 1 ? 1 : i == -1 ? (j % 2 ? -1 : 1) : 0);
      U y = 1;
      U base = U(i);
      for (int64_t n = j; n > 0; n /= 2, base *= base) y *= n % 2 ? base : 1;
      return I(static_cast<int64_t>(y));
    }
    case TileOp::kAtan2:
      return F(std::atan2(a, b));
    case TileOp::kAnd:
      return I(i & j);
    case TileOp::kOr:
      return I(i | j);
    case TileOp::kXor:
      return I(i ^ j);
    case TileOp::kEq:
      return I(fl ? a == b : i == j);
    case TileOp::kNe:
      return I(fl ? a != b : i != j);
    case TileOp::kLt:
      return I(fl ? a < b : i < j);
    case TileOp::kLe:
      return I(fl ? a <= b : i <= j);
    case TileOp::kGt:
      return I(fl ? a > b : i > j);
    case TileOp::kGe:
      return I(fl ? a >= b : i >= j);
    case TileOp::kFma:
      return F(t == TileType::kF64 ? std::fma(a, b, c) : a * b + c);
    case TileOp::kClamp:
      return fl ? F(nan_min(nan_max(a, b), c)) : I(std::min(std::max(i, j), k));
    case TileOp::kSelect:
      return s[0].i ? s[1] : s[2];
    default:
      ADD_FAILURE() << tile_op_name(op);
      return {};
  }
}

template <class T>
Number read_as(const std::vector<std::byte>& m, int64_t i) {
  T v;
  std::memcpy(&v, m.data() + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return {static_cast<double>(v), static_cast<int64_t>(v)};
}
template <class T>
void write_as(std::vector<std::byte>& m, int64_t i, T v) {
  std::memcpy(m.data() + i * static_cast<int64_t>(sizeof(T)), &v, sizeof(T));
}

}  // namespace

Number rounded(TileType t, Number n) {
  if (t == TileType::kF32) n.f = static_cast<float>(n.f);
  if (!floating(t)) n.i = t == TileType::kBool ? n.i != 0 : wrap(t, n.i);
  return n;
}

void write(DType d, std::vector<std::byte>& m, int64_t i, Number n) {
  switch (d) {
    case DType::kF64:
      return write_as(m, i, n.f);
    case DType::kF32:
      return write_as(m, i, static_cast<float>(n.f));
    case DType::kF16:
      return write_as(m, i, to_f16(static_cast<float>(n.f)).bits);
    case DType::kBF16:
      return write_as(m, i, to_bf16(static_cast<float>(n.f)).bits);
    case DType::kI8:
    case DType::kU8:
      return write_as(m, i, static_cast<uint8_t>(n.i));
    case DType::kI16:
    case DType::kU16:
      return write_as(m, i, static_cast<uint16_t>(n.i));
    case DType::kI32:
    case DType::kU32:
      return write_as(m, i, static_cast<uint32_t>(n.i));
    case DType::kBool:
      return write_as(m, i, static_cast<uint8_t>(n.i != 0));
    default:
      return write_as(m, i, n.i);
  }
}

Number read(DType d, const std::vector<std::byte>& m, int64_t i) {
  switch (d) {
    case DType::kF64: {
      double v;
      std::memcpy(&v, m.data() + i * 8, 8);
      return {v, 0};
    }
    case DType::kF32: {
      float v;
      std::memcpy(&v, m.data() + i * 4, 4);
      return {v, 0};
    }
    case DType::kF16: {
      uint16_t v;
      std::memcpy(&v, m.data() + i * 2, 2);
      return {to_f32(Float16{v}), 0};
    }
    case DType::kBF16: {
      uint16_t v;
      std::memcpy(&v, m.data() + i * 2, 2);
      return {to_f32(BFloat16{v}), 0};
    }
    case DType::kI8:
      return read_as<int8_t>(m, i);
    case DType::kU8:
      return read_as<uint8_t>(m, i);
    case DType::kI16:
      return read_as<int16_t>(m, i);
    case DType::kU16:
      return read_as<uint16_t>(m, i);
    case DType::kI32:
      return read_as<int32_t>(m, i);
    case DType::kU32:
      return read_as<uint32_t>(m, i);
    case DType::kBool:
      return {0, read_as<uint8_t>(m, i).i != 0};
    default:
      return read_as<int64_t>(m, i);
  }
}

void interpret(const std::vector<std::byte>& bytes, const TileScalars& sc, Memory& outputs,
               const Memory& inputs) {
  const TileView p = view_tile_program(bytes.data());
  int64_t rows = 1;
  for (const int64_t r : sc.rows) rows *= r;
  const int64_t cols = sc.cols;
  const auto offset = [&](int m, int64_t row) {
    int64_t at = sc.maps[m].base;
    for (int d = static_cast<int>(sc.rows.size()) - 1; d >= 0; --d) {
      at += row % sc.rows[d] * sc.maps[m].row_strides[d];
      row /= sc.rows[d];
    }
    return at;
  };
  std::vector<std::vector<Number>> regs(p.registers.size());
  const auto at = [&](int r, int64_t row, int64_t col) -> Number {
    switch (p.registers[r].shape) {
      case TileShape::kFull:
        return regs[r][row * cols + col];
      case TileShape::kRow:
        return regs[r][row];
      default:
        return regs[r][0];
    }
  };
  for (const TileInstruction& in : p.instructions) {
    const TileMap* map = tile_op_class(in.op) == TileClass::kMemory ? &p.maps[in.map] : nullptr;
    const int64_t cs = map != nullptr ? sc.maps[in.map].col_stride : 0;
    if (in.op == TileOp::kStore) {
      const bool full = p.registers[in.src[0]].shape == TileShape::kFull;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < (full ? cols : 1); ++c) {
          write(map->dtype, outputs[map->operand], offset(in.map, r) + c * cs, at(in.src[0], r, c));
        }
      }
      continue;
    }
    const TileRegister dst = p.registers[in.dst];
    const int64_t nr = dst.shape == TileShape::kUniform ? 1 : rows;
    const int64_t nc = dst.shape == TileShape::kFull ? cols : 1;
    std::vector<Number> out(static_cast<size_t>(nr * nc));
    for (int64_t r = 0; r < nr; ++r) {
      for (int64_t c = 0; c < nc; ++c) {
        Number& y = out[r * nc + c];
        if (in.op == TileOp::kLoad) {
          const bool uniform = dst.shape == TileShape::kUniform;
          y = read(map->dtype, inputs[map->operand],
                   uniform ? sc.maps[in.map].base : offset(in.map, r) + c * cs);
        } else if (in.op == TileOp::kGather) {
          const int64_t index = at(in.src[0], r, c).i;
          if (index >= 0 && index < sc.user[in.imm]) {
            y = read(map->dtype, inputs[map->operand], offset(in.map, r) + index * cs);
          }
        } else if (in.op == TileOp::kIota) {
          const int64_t v = offset(in.map, r) + c * cs;
          y = {static_cast<double>(v), v};
        } else if (in.op == TileOp::kRandomBits || in.op == TileOp::kUniform) {
          const uint32_t v =
              philox_bits(at(in.src[0], 0, 0).i, at(in.src[1], 0, 0).i, offset(in.map, r) + c * cs);
          y = {philox_uniform(v), static_cast<int32_t>(v)};
        } else if (in.op == TileOp::kConstant) {
          y = {std::bit_cast<double>(in.imm), in.imm};
        } else if (in.op == TileOp::kScalar) {
          y = {std::bit_cast<double>(sc.user[in.imm]), sc.user[in.imm]};
        } else if (in.op == TileOp::kColumns) {
          y = {static_cast<double>(cols), cols};
        } else if (tile_op_class(in.op) == TileClass::kReduce) {
          const bool fl = floating(dst.type);
          y = in.op == TileOp::kSum    ? Number{0, 0}
              : in.op == TileOp::kProd ? Number{1, 1}
              : in.op == TileOp::kReduceMax
                  ? Number{-kInf, dst.type == TileType::kBool  ? 0
                                  : dst.type == TileType::kI32 ? INT32_MIN
                                                               : INT64_MIN}
                  : Number{kInf, dst.type == TileType::kBool  ? 1
                                 : dst.type == TileType::kI32 ? INT32_MAX
                                                              : INT64_MAX};
          const TileOp pair = in.op == TileOp::kSum         ? TileOp::kAdd
                              : in.op == TileOp::kProd      ? TileOp::kMul
                              : in.op == TileOp::kReduceMax ? TileOp::kMax
                                                            : TileOp::kMin;
          for (int64_t k = 0; k < cols; ++k) {
            const Number s[3] = {y, at(in.src[0], r, k), {}};
            y = compute(pair, dst.type, dst.type, s, 0);
            if (!fl) y = rounded(dst.type, y);
          }
        } else {
          Number s[3];
          for (int k = 0; k < tile_op_sources(in.op); ++k) s[k] = at(in.src[k], r, c);
          const TileType t = p.registers[in.src[in.op == TileOp::kSelect ? 1 : 0]].type;
          y = compute(in.op, t, dst.type, s, in.imm);
        }
        y = rounded(dst.type, y);
      }
    }
    regs[in.dst] = std::move(out);
  }
}

}  // namespace modellib::cpu
