// The format of tile programs, the code of fused regions.
//
// A tile program runs over an iteration space of rows (up to six dimensions) by columns. Its
// instructions work on virtual registers; a register holds a piece ("tile") of the space, of some
// rows by some columns, so the region reads and writes memory once while everything between stays
// in the first-level cache. Loads, gathers and stores go through maps: an operand, a base and a
// stride for each dimension (0 broadcasts). Reductions run along the columns and give one value a
// row, which later instructions broadcast back.
//
// The bytes of a program are a TileHeader, TileMaps, TileRegisters and TileInstructions, in the
// order of the header's counts; they travel in Step.data. They name no instruction set and hold no
// address. Extents, bases and strides travel in the step's scalars (see TileScalars), so they may
// vary at run time.
//
// Same bits: a pointwise value depends on its inputs alone. A reduction adds in 32 lanes, restarts
// them every 1,024 columns and combines by a fixed tree, so its order depends on the number of
// columns alone, not on tiles, chunks or the width of the machine's vectors.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_PROGRAM_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_TILE_PROGRAM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/kernel.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {

inline constexpr char kTileKernelName[] = "cpu.tile";
inline constexpr uint32_t kTileMagic = 0x454c4954;  // "TILE"
inline constexpr uint16_t kTileVersion = 1;

inline constexpr int kTileMaxRowDims = 6;
inline constexpr int kTileMaxMaps = 32;
inline constexpr int kTileMaxInstructions = 1024;
inline constexpr int kTileMaxFull = 64;  // registers of each shape
inline constexpr int kTileMaxRow = 64;
inline constexpr int kTileMaxUniform = 96;
inline constexpr int kTileMaxPasses = 16;
inline constexpr int kTileMaxUser = 64;  // user scalars

// What a register holds. Memory types convert when loaded and stored: f16 and bf16 compute in f32,
// the small integers in i32, u32 and u64 in i64 (u64 as its bits). Bool is a lane mask.
enum class TileType : uint8_t { kF32, kF64, kI32, kI64, kBool };
inline constexpr int kTileTypes = 5;

// The register type of a memory type; kF32 also for types that no program may load (see
// tile_loadable).
TileType tile_type_of(DType dtype);
// Whether maps may have this memory type: all but the 4-bit, 8-bit float and string types.
bool tile_loadable(DType dtype);

// Full: a value for each element of the tile. Row: one for each of its rows. Uniform: one in all.
enum class TileShape : uint8_t { kFull, kRow, kUniform };

// Which types an operation takes, and what it gives.
enum class TileClass : uint8_t {
  kMemory,       // load, store, gather, iota, random
  kScalar,       // constant, scalar, columns: no source, gives Uniform
  kUnaryFloat,   // f32 f64 -> same
  kUnaryNumber,  // f32 f64 i32 i64 -> same
  kUnaryTest,    // f32 f64 -> bool
  kUnaryLogic,   // i32 i64 bool -> same
  kRound,        // rounds or wraps to the DType in `imm`: f32 to f16, bf16; i32 and i64 to integers
  kCast,         // any -> any
  kBinaryFloat,
  kBinaryNumber,
  kBinaryLogic,
  kCompare,  // two of any one type -> bool
  kFma,      // a * b + c, f32 f64; single rounding on machines with FMA
  kClamp,    // min(max(a, b), c), NaN propagates
  kSelect,   // a (bool) ? b : c
  kReduce,   // Full -> Row; bool: any (max) and all (min) only
};

// X(enumerator, text name, class). The numbers are stored in plans: append only.
#define MODELLIB_TILE_OPS(X)                \
  X(kLoad, "load", kMemory)                 \
  X(kStore, "store", kMemory)               \
  X(kGather, "gather", kMemory)             \
  X(kIota, "iota", kMemory)                 \
  X(kRandomBits, "random_bits", kMemory)    \
  X(kUniform, "uniform", kMemory)           \
  X(kConstant, "constant", kScalar)         \
  X(kScalar, "scalar", kScalar)             \
  X(kColumns, "columns", kScalar)           \
  X(kNeg, "neg", kUnaryNumber)              \
  X(kAbs, "abs", kUnaryNumber)              \
  X(kSign, "sign", kUnaryNumber)            \
  X(kRelu, "relu", kUnaryNumber)            \
  X(kExp, "exp", kUnaryFloat)               \
  X(kExpm1, "expm1", kUnaryFloat)           \
  X(kLog, "log", kUnaryFloat)               \
  X(kLog1p, "log1p", kUnaryFloat)           \
  X(kSqrt, "sqrt", kUnaryFloat)             \
  X(kRsqrt, "rsqrt", kUnaryFloat)           \
  X(kReciprocal, "reciprocal", kUnaryFloat) \
  X(kTanh, "tanh", kUnaryFloat)             \
  X(kSigmoid, "sigmoid", kUnaryFloat)       \
  X(kErf, "erf", kUnaryFloat)               \
  X(kSin, "sin", kUnaryFloat)               \
  X(kCos, "cos", kUnaryFloat)               \
  X(kFloor, "floor", kUnaryFloat)           \
  X(kCeil, "ceil", kUnaryFloat)             \
  X(kRound, "round", kUnaryFloat)           \
  X(kTrunc, "trunc", kUnaryFloat)           \
  X(kIsNan, "isnan", kUnaryTest)            \
  X(kIsInf, "isinf", kUnaryTest)            \
  X(kIsFinite, "isfinite", kUnaryTest)      \
  X(kNot, "not", kUnaryLogic)               \
  X(kRoundTo, "round_to", kRound)           \
  X(kCast, "cast", kCast)                   \
  X(kAdd, "add", kBinaryNumber)             \
  X(kSub, "sub", kBinaryNumber)             \
  X(kMul, "mul", kBinaryNumber)             \
  X(kDiv, "div", kBinaryNumber)             \
  X(kFloorDiv, "floor_div", kBinaryNumber)  \
  X(kMod, "mod", kBinaryNumber)             \
  X(kRem, "rem", kBinaryNumber)             \
  X(kMin, "min", kBinaryNumber)             \
  X(kMax, "max", kBinaryNumber)             \
  X(kPow, "pow", kBinaryNumber)             \
  X(kAtan2, "atan2", kBinaryFloat)          \
  X(kAnd, "and", kBinaryLogic)              \
  X(kOr, "or", kBinaryLogic)                \
  X(kXor, "xor", kBinaryLogic)              \
  X(kEq, "eq", kCompare)                    \
  X(kNe, "ne", kCompare)                    \
  X(kLt, "lt", kCompare)                    \
  X(kLe, "le", kCompare)                    \
  X(kGt, "gt", kCompare)                    \
  X(kGe, "ge", kCompare)                    \
  X(kFma, "fma", kFma)                      \
  X(kClamp, "clamp", kClamp)                \
  X(kSelect, "select", kSelect)             \
  X(kSum, "sum", kReduce)                   \
  X(kProd, "prod", kReduce)                 \
  X(kReduceMax, "reduce_max", kReduce)      \
  X(kReduceMin, "reduce_min", kReduce)

// Meanings that names leave open. div: IEEE for floats, truncation for integers (0 when dividing by
// 0). floor_div, mod: rounded towards minus infinity, as Python's; rem: sign of the dividend, as
// C's. min, max, clamp, relu, reduce_max, reduce_min: NaN wins. sign(NaN) = 0. round: half to even.
// pow of integers: by squaring, 0 for a negative exponent unless the base is 1 or -1. cast to bool:
// not equal 0; cast of floats to integers: towards zero, saturating, NaN gives 0; i64 to i32 wraps.
// gather: the element at `index * column stride` beyond the row's place in the map, 0 <= index <
// limit; an index outside is told as a fault and reads 0. random_bits (i32) and uniform (f32 in [0,
// 1), 24 bits): Philox-4x32-10 of the map's value, the global logical index of the element: counter
// = {index / 4 (64 bits), stream (64 bits)}, word index % 4 (see graph/philox.h).
enum class TileOp : uint16_t {
#define MODELLIB_TILE_ENUM(name, text, cls) name,
  MODELLIB_TILE_OPS(MODELLIB_TILE_ENUM)
#undef MODELLIB_TILE_ENUM
};
inline constexpr int kTileOpCount = static_cast<int>(TileOp::kReduceMin) + 1;

absl::string_view tile_op_name(TileOp op);
TileClass tile_op_class(TileOp op);
// Registers that the operation reads, in order; for memory operations see TileInstruction.
int tile_op_sources(TileOp op);

struct TileHeader {
  uint32_t magic;
  uint16_t version;
  uint8_t row_dims;  // 0 to 6
  uint8_t maps;
  uint16_t instructions;
  uint16_t
      uniforms;  // the first so many instructions write Uniform registers, and no later one does
  uint8_t registers;
  uint8_t passes;  // column loops when a row is too long to stay in registers; see TileInstruction
  uint8_t user_scalars;
  uint8_t outputs;  // of the step
};
static_assert(sizeof(TileHeader) == 16);

// A way to address an operand. Operands count as in the step: outputs, then inputs; a virtual map
// has none: its value, base + sum of coordinate * stride, is what iota and random numbers use.
struct TileMap {
  static constexpr uint8_t kVirtual = 0xff;
  uint8_t operand;
  uint8_t is_output;  // then `operand` counts outputs, else inputs
  DType dtype;        // in memory
  uint8_t reserved;
};
static_assert(sizeof(TileMap) == 4);

struct TileRegister {
  TileType type;
  TileShape shape;
};
static_assert(sizeof(TileRegister) == 2);

// Row and Uniform registers are written once; Full registers may be reused.
struct TileInstruction {
  TileOp op;
  uint8_t dst;     // register; unused by store
  uint8_t src[3];  // registers; store: src[0] value; gather: src[0] index; random: src[0] key,
                   // src[1] stream (i64)
  uint8_t map;     // load, store, gather, iota, random
  uint8_t pass;   // of a reduction: the pass that adds it up; of a Row instruction: the pass before
                  // which it runs
  uint16_t mask;  // of a Full instruction: the passes (bits) that run it when the row does not fit
                  // registers
  uint8_t reserved[6];
  int64_t imm;  // constant: i64 or bits of a double; scalar, gather limit: number of the user
                // scalar; round_to: DType
};
static_assert(sizeof(TileInstruction) == 24);

// The scalars of a step, and the order they travel in. Extents and strides count elements.
struct TileScalars {
  struct Map {
    int64_t base = 0;
    std::vector<int64_t> row_strides;  // one for each row dimension
    int64_t col_stride = 1;
  };
  int64_t rows_per_chunk = 1;
  int64_t cols_per_chunk = int64_t{1}
                           << 40;  // programs that reduce, or store Row values, never split columns
  std::vector<int64_t> rows;       // extents of the row dimensions, outermost first
  int64_t cols = 1;
  std::vector<Map> maps;
  std::vector<int64_t> user;  // floats as the bits of a double

  std::vector<int64_t> flatten() const;
};

// Positions in that order, for callers that put slots of the plan in place of numbers.
struct TileLayout {
  int row_dims = 0;
  int maps = 0;
  int user = 0;
  static constexpr int rows_per_chunk() { return 0; }
  static constexpr int cols_per_chunk() { return 1; }
  int row(int dim) const { return 2 + dim; }
  int cols() const { return 2 + row_dims; }
  int base(int map) const { return 3 + row_dims + map * (row_dims + 2); }
  int row_stride(int map, int dim) const { return base(map) + 1 + dim; }
  int col_stride(int map) const { return base(map) + 1 + row_dims; }
  int user_scalar(int i) const { return base(maps) + i; }
  int count() const { return base(maps) + user; }
};

// How to cut a step: chunks = ceil(rows / rows_per_chunk) * ceil(cols / cols_per_chunk), rows being
// the product of the row extents. Where an extent varies at run time, choose from its maximum and
// let the plan compute that formula. `whole_rows`: the program reduces or stores Row values.
// `cost`: instructions for an element.
struct TileSplit {
  int64_t rows_per_chunk;
  int64_t cols_per_chunk;
  int64_t chunks;
};
TileSplit choose_tile_split(int64_t rows, int64_t cols, bool whole_rows, int cost);

// A program whose bytes were checked; points into them.
struct TileView {
  const TileHeader* header = nullptr;
  absl::Span<const TileMap> maps;
  absl::Span<const TileRegister> registers;
  absl::Span<const TileInstruction> instructions;

  TileLayout layout() const { return {header->row_dims, header->maps, header->user_scalars}; }
};

// Unchecked: for bytes that parse_tile_program accepted before.
TileView view_tile_program(const std::byte* data);

// Checks all that the bytes alone can tell: versions, counts, types, registers written before they
// are read in every pass. `data` must be 8-byte aligned. InvalidArgument says which instruction is
// wrong and why.
absl::StatusOr<TileView> parse_tile_program(absl::Span<const std::byte> data);

// Whether the program reduces or stores Row values, so that columns are never split between chunks.
bool tile_needs_whole_rows(const TileView& program);

// Text for people, one instruction a line.
std::string describe_tile_program(const TileView& program);

// Kernel::validate of "cpu.tile": the program, and that no map leaves its operand.
absl::Status validate_tile_step(const runtime::StepView& step);
// Kernel::run of "cpu.tile" (tile_executor.cc).
void run_tile_chunk(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_TILE_PROGRAM_H_
