#include "modellib/executors/cpu/kernels/tile_program.h"

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

using Range = runtime::StepView::Range;

constexpr const char* kNames[] = {
#define MODELLIB_TILE_NAME(name, text, cls) text,
    MODELLIB_TILE_OPS(MODELLIB_TILE_NAME)
#undef MODELLIB_TILE_NAME
};
constexpr TileClass kClasses[] = {
#define MODELLIB_TILE_CLASS(name, text, cls) TileClass::cls,
    MODELLIB_TILE_OPS(MODELLIB_TILE_CLASS)
#undef MODELLIB_TILE_CLASS
};
constexpr const char* kTypeNames[kTileTypes] = {"f32", "f64", "i32", "i64", "bool"};
constexpr const char* kShapeNames[3] = {"full", "row", "uniform"};

bool is_float(TileType t) { return t == TileType::kF32 || t == TileType::kF64; }
bool is_int(TileType t) { return t == TileType::kI32 || t == TileType::kI64; }

// Where the parts lie in the bytes.
struct Offsets {
  size_t maps, registers, instructions, end;
  explicit Offsets(const TileHeader& h)
      : maps(sizeof(TileHeader)),
        registers(maps + h.maps * sizeof(TileMap)),
        instructions((registers + h.registers * sizeof(TileRegister) + 7) & ~size_t{7}),
        end(instructions + h.instructions * sizeof(TileInstruction)) {}
};

absl::Status bad(size_t i, const TileInstruction& in, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("cpu.tile: instruction ", i, " (",
                   static_cast<int>(in.op) < kTileOpCount ? tile_op_name(in.op) : "?", "): ", why));
}

// Types and shapes of one instruction, given those of its registers.
absl::Status check_types(const TileView& p, size_t i) {
  const TileInstruction& in = p.instructions[i];
  const TileClass cls = tile_op_class(in.op);
  const TileRegister* dst = in.op == TileOp::kStore ? nullptr : &p.registers[in.dst];
  const TileRegister* src[3];
  const int sources = tile_op_sources(in.op);
  for (int s = 0; s < sources; ++s) src[s] = &p.registers[in.src[s]];
  const auto wrong = [&](absl::string_view why) { return bad(i, in, why); };

  // A value spreads from Uniform to Row to Full, never back.
  if (dst != nullptr && cls != TileClass::kReduce) {
    for (int s = 0; s < sources; ++s) {
      if (src[s]->shape < dst->shape) return wrong("a source is of a wider shape than the result");
    }
  }
  const auto same_types = [&](int from) {
    for (int s = from; s < sources; ++s) {
      if (src[s]->type != src[from]->type) return false;
    }
    return true;
  };

  switch (cls) {
    case TileClass::kMemory: {
      if (in.map >= p.maps.size()) return wrong("no such map");
      const TileMap& map = p.maps[in.map];
      const bool is_virtual = map.operand == TileMap::kVirtual;
      if (in.op == TileOp::kLoad || in.op == TileOp::kGather) {
        if (is_virtual || map.is_output != 0) return wrong("reads a map that is not of an input");
        if (tile_type_of(map.dtype) != dst->type) return wrong("the map is of another type");
        if (in.op == TileOp::kGather) {
          if (!is_int(src[0]->type)) return wrong("an index must be i32 or i64");
          if (in.imm < 0 || in.imm >= p.header->user_scalars) return wrong("no such user scalar");
          if (dst->shape == TileShape::kUniform) return wrong("gives Full or Row values");
        }
      } else if (in.op == TileOp::kStore) {
        if (is_virtual || map.is_output == 0) return wrong("writes a map that is not of an output");
        if (tile_type_of(map.dtype) != src[0]->type) return wrong("the map is of another type");
      } else {
        if (!is_virtual) return wrong("needs a virtual map");
        if (dst->shape == TileShape::kUniform) return wrong("gives Full or Row values");
        if (in.op == TileOp::kIota) {
          if (dst->type == TileType::kBool) return wrong("gives numbers");
        } else {
          const TileType want = in.op == TileOp::kUniform ? TileType::kF32 : TileType::kI32;
          if (dst->type != want) return wrong("the result is of another type");
          for (int s = 0; s < 2; ++s) {
            if (src[s]->type != TileType::kI64 || src[s]->shape != TileShape::kUniform) {
              return wrong("key and stream must be Uniform i64");
            }
          }
        }
      }
      return absl::OkStatus();
    }
    case TileClass::kScalar:
      if (dst->shape != TileShape::kUniform) return wrong("gives a Uniform value");
      if (in.op == TileOp::kScalar && (in.imm < 0 || in.imm >= p.header->user_scalars)) {
        return wrong("no such user scalar");
      }
      return absl::OkStatus();
    case TileClass::kUnaryFloat:
      if (!is_float(dst->type) || src[0]->type != dst->type) return wrong("takes f32 or f64");
      return absl::OkStatus();
    case TileClass::kUnaryNumber:
      if (dst->type == TileType::kBool || src[0]->type != dst->type) return wrong("takes numbers");
      return absl::OkStatus();
    case TileClass::kUnaryTest:
      if (!is_float(src[0]->type) || dst->type != TileType::kBool) {
        return wrong("takes floats, gives bool");
      }
      return absl::OkStatus();
    case TileClass::kUnaryLogic:
      if (is_float(dst->type) || src[0]->type != dst->type) return wrong("takes integers or bool");
      return absl::OkStatus();
    case TileClass::kRound: {
      if (src[0]->type != dst->type) return wrong("source and result are of different types");
      const auto to = static_cast<DType>(in.imm);
      const bool fits =
          dst->type == TileType::kF32 ? to == DType::kF16 || to == DType::kBF16
          : dst->type == TileType::kI32
              ? to == DType::kI8 || to == DType::kI16 || to == DType::kU8 || to == DType::kU16
              : dst->type == TileType::kI64 && to == DType::kU32;
      if (in.imm < 0 || in.imm >= kDTypeCount || !fits) return wrong("cannot round to this type");
      return absl::OkStatus();
    }
    case TileClass::kCast:
      return absl::OkStatus();
    case TileClass::kBinaryFloat:
      if (!is_float(dst->type) || src[0]->type != dst->type || !same_types(0)) {
        return wrong("takes two floats of one type");
      }
      return absl::OkStatus();
    case TileClass::kBinaryNumber:
      if (dst->type == TileType::kBool || src[0]->type != dst->type || !same_types(0)) {
        return wrong("takes two numbers of one type");
      }
      return absl::OkStatus();
    case TileClass::kBinaryLogic:
      if (is_float(dst->type) || src[0]->type != dst->type || !same_types(0)) {
        return wrong("takes two integers or bools of one type");
      }
      return absl::OkStatus();
    case TileClass::kCompare:
      if (dst->type != TileType::kBool || !same_types(0)) {
        return wrong("takes two values of one type, gives bool");
      }
      return absl::OkStatus();
    case TileClass::kFma:
      if (!is_float(dst->type) || src[0]->type != dst->type || !same_types(0)) {
        return wrong("takes three floats of one type");
      }
      return absl::OkStatus();
    case TileClass::kClamp:
      if (dst->type == TileType::kBool || src[0]->type != dst->type || !same_types(0)) {
        return wrong("takes three numbers of one type");
      }
      return absl::OkStatus();
    case TileClass::kSelect:
      if (src[0]->type != TileType::kBool || src[1]->type != dst->type || !same_types(1)) {
        return wrong("takes a bool and two values of the result's type");
      }
      return absl::OkStatus();
    case TileClass::kReduce:
      if (src[0]->shape != TileShape::kFull || dst->shape != TileShape::kRow ||
          src[0]->type != dst->type) {
        return wrong("takes a Full value, gives a Row value of its type");
      }
      if (dst->type == TileType::kBool && (in.op == TileOp::kSum || in.op == TileOp::kProd)) {
        return wrong("bools have reduce_max (any) and reduce_min (all) only");
      }
      return absl::OkStatus();
  }
  return wrong("unknown class");
}

TileShape result_shape(const TileView& p, const TileInstruction& in) {
  return in.op == TileOp::kStore ? p.registers[in.src[0]].shape : p.registers[in.dst].shape;
}

// Every register is written before it is read, in the order of the list and in that of the passes.
absl::Status check_order(const TileView& p) {
  const int passes = p.header->passes;
  std::bitset<256> written;
  // For Row and Uniform: the number of column loops after which the value is there.
  std::array<int, 256> ready;
  ready.fill(-1);
  for (size_t i = 0; i < p.instructions.size(); ++i) {
    const TileInstruction& in = p.instructions[i];
    const TileShape shape = result_shape(p, in);
    const bool reduce = tile_op_class(in.op) == TileClass::kReduce;
    const bool uniform = in.op != TileOp::kStore && shape == TileShape::kUniform;
    if (uniform != (i < p.header->uniforms)) {
      return bad(i, in, "Uniform results come first, and only they");
    }
    for (int s = 0; s < tile_op_sources(in.op); ++s) {
      if (!written[in.src[s]]) return bad(i, in, "reads a register that was not written");
    }
    if (in.op != TileOp::kStore) {
      if (shape != TileShape::kFull && written[in.dst]) {
        return bad(i, in, "writes a Row or Uniform register twice");
      }
      written.set(in.dst);
    }
    if (uniform) {
      ready[in.dst] = 0;
      continue;
    }
    if (shape == TileShape::kFull || reduce) {
      if (reduce && in.pass >= passes) return bad(i, in, "its pass does not exist");
      if (!reduce && (in.mask >> passes) != 0)
        return bad(i, in, "its mask has passes that do not exist");
      if (in.op == TileOp::kStore && in.mask != 1u << (passes - 1)) {
        return bad(i, in, "a Full store runs in the last pass alone");
      }
      if (reduce) ready[in.dst] = in.pass + 1;
      // Row sources of Full instructions: there before the first pass that needs them.
      for (int s = 0; s < tile_op_sources(in.op); ++s) {
        if (p.registers[in.src[s]].shape == TileShape::kFull || in.mask == 0 || reduce) continue;
        if (ready[in.src[s]] > std::countr_zero(in.mask)) {
          return bad(i, in, "reads a Row value before the pass that gives it");
        }
      }
    } else {
      if (in.pass > passes) return bad(i, in, "its pass does not exist");
      for (int s = 0; s < tile_op_sources(in.op); ++s) {
        if (ready[in.src[s]] > in.pass) {
          return bad(i, in, "reads a Row value before the pass that gives it");
        }
      }
      if (in.op != TileOp::kStore) ready[in.dst] = in.pass;
    }
  }
  for (int pass = 0; pass < passes; ++pass) {
    std::bitset<256> now;
    for (size_t i = p.header->uniforms; i < p.instructions.size(); ++i) {
      const TileInstruction& in = p.instructions[i];
      const bool reduce = tile_op_class(in.op) == TileClass::kReduce;
      if (reduce ? in.pass != pass
                 : result_shape(p, in) != TileShape::kFull || ((in.mask >> pass) & 1) == 0) {
        continue;
      }
      for (int s = 0; s < tile_op_sources(in.op); ++s) {
        if (p.registers[in.src[s]].shape == TileShape::kFull && !now[in.src[s]]) {
          return bad(i, in, absl::StrCat("reads a register that pass ", pass, " did not write"));
        }
      }
      if (!reduce && in.op != TileOp::kStore) now.set(in.dst);
    }
  }
  return absl::OkStatus();
}

}  // namespace

TileType tile_type_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return TileType::kF64;
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kU8:
    case DType::kU16:
      return TileType::kI32;
    case DType::kI64:
    case DType::kU32:
    case DType::kU64:
      return TileType::kI64;
    case DType::kBool:
      return TileType::kBool;
    default:
      return TileType::kF32;
  }
}

bool tile_loadable(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
    case DType::kU8:
    case DType::kU16:
    case DType::kU32:
    case DType::kU64:
    case DType::kBool:
      return true;
    default:
      return false;
  }
}

absl::string_view tile_op_name(TileOp op) { return kNames[static_cast<int>(op)]; }
TileClass tile_op_class(TileOp op) { return kClasses[static_cast<int>(op)]; }

int tile_op_sources(TileOp op) {
  switch (op) {
    case TileOp::kLoad:
    case TileOp::kIota:
      return 0;
    case TileOp::kStore:
    case TileOp::kGather:
      return 1;
    case TileOp::kRandomBits:
    case TileOp::kUniform:
      return 2;
    default:
      break;
  }
  switch (tile_op_class(op)) {
    case TileClass::kScalar:
      return 0;
    case TileClass::kBinaryFloat:
    case TileClass::kBinaryNumber:
    case TileClass::kBinaryLogic:
    case TileClass::kCompare:
      return 2;
    case TileClass::kFma:
    case TileClass::kClamp:
    case TileClass::kSelect:
      return 3;
    default:
      return 1;
  }
}

std::vector<int64_t> TileScalars::flatten() const {
  std::vector<int64_t> out = {rows_per_chunk, cols_per_chunk};
  out.insert(out.end(), rows.begin(), rows.end());
  out.push_back(cols);
  for (const Map& map : maps) {
    out.push_back(map.base);
    out.insert(out.end(), map.row_strides.begin(), map.row_strides.end());
    out.push_back(map.col_stride);
  }
  out.insert(out.end(), user.begin(), user.end());
  return out;
}

TileSplit choose_tile_split(int64_t rows, int64_t cols, bool whole_rows, int cost) {
  // A chunk of about 20 microseconds: long beside the cost of handing it out, short beside a step.
  constexpr int64_t kTarget = int64_t{1} << 19;
  const int64_t elements = std::max<int64_t>(4096, kTarget / std::max(1, cost));
  // An extent without a bound, as graphs have them before they are bound, is as long as any can be.
  rows = std::clamp<int64_t>(rows, 1, kMaxElements);
  cols = std::clamp<int64_t>(cols, 1, kMaxElements);
  TileSplit split;
  if (whole_rows || cols <= elements) {
    split.rows_per_chunk = std::clamp<int64_t>(elements / cols, 1, rows);
    split.cols_per_chunk = int64_t{1} << 40;
    split.chunks = ceil_div(rows, split.rows_per_chunk);
    return split;
  }
  split.rows_per_chunk = 1;
  split.cols_per_chunk = elements / 1024 * 1024;
  split.chunks = checked_product(rows, ceil_div(cols, split.cols_per_chunk));
  return split;
}

TileView view_tile_program(const std::byte* data) {
  TileView p;
  p.header = reinterpret_cast<const TileHeader*>(data);
  const Offsets at(*p.header);
  p.maps = {reinterpret_cast<const TileMap*>(data + at.maps), p.header->maps};
  p.registers = {reinterpret_cast<const TileRegister*>(data + at.registers), p.header->registers};
  p.instructions = {reinterpret_cast<const TileInstruction*>(data + at.instructions),
                    p.header->instructions};
  return p;
}

absl::StatusOr<TileView> parse_tile_program(absl::Span<const std::byte> data) {
  const auto fail = [](auto... parts) {
    return absl::InvalidArgumentError(absl::StrCat("cpu.tile: ", parts...));
  };
  if (data.size() < sizeof(TileHeader))
    return fail("a program of ", data.size(), " bytes is too short");
  if (reinterpret_cast<uintptr_t>(data.data()) % 8 != 0) return fail("the program is not aligned");
  TileHeader header;
  std::memcpy(&header, data.data(), sizeof(header));
  if (header.magic != kTileMagic) return fail("not a tile program");
  if (header.version != kTileVersion) {
    return fail("program version ", header.version, ", this library runs ", kTileVersion);
  }
  if (header.row_dims > kTileMaxRowDims || header.maps > kTileMaxMaps ||
      header.instructions > kTileMaxInstructions || header.uniforms > header.instructions ||
      header.passes < 1 || header.passes > kTileMaxPasses || header.user_scalars > kTileMaxUser) {
    return fail("a count in the header is over its limit");
  }
  if (const size_t want = Offsets(header).end; data.size() != want) {
    return fail("program of ", data.size(), " bytes, its header says ", want);
  }
  const TileView p = view_tile_program(data.data());
  for (const TileMap& map : p.maps) {
    if (map.operand != TileMap::kVirtual && !tile_loadable(map.dtype)) {
      return fail("a map has memory type ", static_cast<int>(map.dtype));
    }
  }
  int counts[3] = {0, 0, 0};
  for (const TileRegister& r : p.registers) {
    if (static_cast<int>(r.type) >= kTileTypes || static_cast<int>(r.shape) > 2) {
      return fail("a register has an unknown type");
    }
    ++counts[static_cast<int>(r.shape)];
  }
  if (counts[0] > kTileMaxFull || counts[1] > kTileMaxRow || counts[2] > kTileMaxUniform) {
    return fail("too many registers");
  }
  for (size_t i = 0; i < p.instructions.size(); ++i) {
    const TileInstruction& in = p.instructions[i];
    if (static_cast<int>(in.op) >= kTileOpCount) return bad(i, in, "unknown operation");
    if (in.op != TileOp::kStore && in.dst >= p.registers.size())
      return bad(i, in, "no such register");
    for (int s = 0; s < tile_op_sources(in.op); ++s) {
      if (in.src[s] >= p.registers.size()) return bad(i, in, "no such register");
    }
    MODELLIB_RETURN_IF_ERROR(check_types(p, i));
  }
  MODELLIB_RETURN_IF_ERROR(check_order(p));
  return p;
}

bool tile_needs_whole_rows(const TileView& p) {
  return std::any_of(p.instructions.begin(), p.instructions.end(), [&](const TileInstruction& in) {
    return tile_op_class(in.op) == TileClass::kReduce ||
           (in.op == TileOp::kStore && p.registers[in.src[0]].shape != TileShape::kFull);
  });
}

std::string describe_tile_program(const TileView& p) {
  std::string out = absl::StrCat("tile program: ", p.header->row_dims, " row dims, ",
                                 p.header->passes, p.header->passes == 1 ? " pass\n" : " passes\n");
  for (size_t i = 0; i < p.maps.size(); ++i) {
    const TileMap& map = p.maps[i];
    if (map.operand == TileMap::kVirtual) {
      absl::StrAppend(&out, "  map ", i, ": index\n");
    } else {
      absl::StrAppend(&out, "  map ", i, ": ", map.is_output ? "out" : "in", map.operand, " ",
                      to_string(map.dtype), "\n");
    }
  }
  for (const TileInstruction& in : p.instructions) {
    absl::StrAppend(&out, "  ");
    if (in.op != TileOp::kStore) {
      const TileRegister& r = p.registers[in.dst];
      absl::StrAppend(&out, "r", in.dst, ": ", kTypeNames[static_cast<int>(r.type)], " ",
                      kShapeNames[static_cast<int>(r.shape)], " = ");
    }
    absl::StrAppend(&out, tile_op_name(in.op));
    const TileClass cls = tile_op_class(in.op);
    if (cls == TileClass::kMemory) absl::StrAppend(&out, " map", in.map);
    for (int s = 0; s < tile_op_sources(in.op); ++s) absl::StrAppend(&out, " r", in.src[s]);
    if (in.op == TileOp::kConstant) {
      const TileType type = p.registers[in.dst].type;
      if (is_float(type)) {
        absl::StrAppend(&out, " ", std::bit_cast<double>(in.imm));
      } else {
        absl::StrAppend(&out, " ", in.imm);
      }
    } else if (in.op == TileOp::kScalar || in.op == TileOp::kGather) {
      absl::StrAppend(&out, " s", in.imm);
    } else if (in.op == TileOp::kRoundTo) {
      absl::StrAppend(&out, " ", to_string(static_cast<DType>(in.imm)));
    }
    if (p.header->passes > 1) {
      if (cls == TileClass::kReduce) {
        absl::StrAppend(&out, "  // pass ", in.pass);
      } else if (in.mask != 0) {
        absl::StrAppend(&out, "  // passes");
        for (int b = 0; b < kTileMaxPasses; ++b) {
          if ((in.mask >> b) & 1) absl::StrAppend(&out, " ", b);
        }
      }
    }
    absl::StrAppend(&out, "\n");
  }
  return out;
}

absl::Status validate_tile_step(const runtime::StepView& step) {
  MODELLIB_ASSIGN_OR_RETURN(const TileView p, parse_tile_program(step.data));
  const TileLayout at = p.layout();
  if (p.header->outputs != step.output_bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("cpu.tile: the program has ", p.header->outputs,
                                                   " outputs, the step ",
                                                   step.output_bytes.size()));
  }
  if (step.scalars.size() != static_cast<size_t>(at.count())) {
    return absl::InvalidArgumentError(absl::StrCat("cpu.tile: ", step.scalars.size(),
                                                   " scalars, the program takes ", at.count()));
  }
  const auto scalar = [&](int i) { return step.scalars[i]; };
  int64_t rows = 1;
  for (int d = 0; d < at.row_dims; ++d) {
    const Range extent = scalar(at.row(d));
    if (!in_range(extent, 0, kMaxElements)) {
      return range_error(kTileKernelName, absl::StrCat("row extent ", d), extent, 0, kMaxElements);
    }
    rows = checked_product(rows, std::max<int64_t>(extent.max, 1));
  }
  const Range cols = scalar(at.cols());
  if (!in_range(cols, 0, kMaxElements)) {
    return range_error(kTileKernelName, "columns", cols, 0, kMaxElements);
  }
  if (checked_product(rows, std::max<int64_t>(cols.max, 1)) > kMaxElements) {
    return absl::InvalidArgumentError("cpu.tile: the iteration space is too large");
  }
  const Range rows_per_chunk = scalar(at.rows_per_chunk());
  if (!in_range(rows_per_chunk, 1, kMaxGrain)) {
    return range_error(kTileKernelName, "rows of a chunk", rows_per_chunk, 1, kMaxGrain);
  }
  const Range cols_per_chunk = scalar(at.cols_per_chunk());
  if (!in_range(cols_per_chunk, 1, kMaxElements)) {
    return range_error(kTileKernelName, "columns of a chunk", cols_per_chunk, 1, kMaxElements);
  }
  if (!in_range(step.chunks, 0, kMaxGrain)) {
    return range_error(kTileKernelName, "chunks", step.chunks, 0, kMaxGrain);
  }
  // A reduction goes through rows without columns too.
  if (cols.max == 0 && std::min(rows, rows_per_chunk.max) > kMaxEmptyGrain) {
    return range_error(kTileKernelName, "rows of a chunk", rows_per_chunk, 1, kMaxEmptyGrain);
  }
  // Strides may be 0, so that no operand's size bounds how long a chunk runs.
  uint64_t largest = uint64_t{1} << 31;
  for (const uint64_t bytes : step.output_bytes) largest = std::max(largest, bytes);
  for (const uint64_t bytes : step.input_bytes) largest = std::max(largest, bytes);
  if (Int128{std::min(rows, rows_per_chunk.max)} * std::min(cols.max, cols_per_chunk.max) >
      Int128{largest}) {
    return absl::InvalidArgumentError("cpu.tile: a chunk is far larger than the operands");
  }
  if (tile_needs_whole_rows(p) && cols_per_chunk.min < cols.max) {
    return absl::InvalidArgumentError(
        "cpu.tile: a program that reduces rows cannot have its columns split");
  }
  // Maps that no instruction uses are looked up too.
  for (const TileMap& map : p.maps) {
    const auto& sizes = map.is_output ? step.output_bytes : step.input_bytes;
    if (map.operand != TileMap::kVirtual && map.operand >= sizes.size()) {
      return absl::InvalidArgumentError(absl::StrCat("cpu.tile: a map is of operand ", map.operand,
                                                     ", the step has ", sizes.size()));
    }
  }
  // What each map's instructions may touch. Row and Uniform accesses stay at column 0, Uniform ones
  // at row 0.
  for (const TileInstruction& in : p.instructions) {
    if (in.op != TileOp::kLoad && in.op != TileOp::kStore && in.op != TileOp::kGather) continue;
    const TileMap& map = p.maps[in.map];
    const auto& sizes = map.is_output ? step.output_bytes : step.input_bytes;
    const TileShape shape = result_shape(p, in);
    Reach reach(scalar(at.base(in.map)));
    // A Uniform load happens whatever the extents are.
    if (in.op == TileOp::kStore || shape != TileShape::kUniform) {
      for (int d = 0; d < at.row_dims; ++d) {
        reach.add(scalar(at.row(d)), scalar(at.row_stride(in.map, d)));
      }
      if (in.op == TileOp::kGather) {
        const Range limit = scalar(at.user_scalar(static_cast<int>(in.imm)));
        if (!in_range(limit, 0, kMaxElements)) {
          return range_error(kTileKernelName, "gather limit", limit, 0, kMaxElements);
        }
        reach.add(limit, scalar(at.col_stride(in.map)));
      } else if (shape == TileShape::kFull) {
        reach.add(cols, scalar(at.col_stride(in.map)));
      }
    }
    if (!reach.fits(sizes[map.operand], bits_of(map.dtype) / 8)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "cpu.tile: map ", in.map, " leaves its operand of ", sizes[map.operand], " bytes"));
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib::cpu
