// Writes tile programs (see tile_program.h) at plan time. Values are in single-assignment form;
// encode() drops what no store needs, puts loads late, shares registers and splits the work into
// passes.
//
//   TileProgramBuilder b(/*row_dims=*/1);
//   const int in = b.input(0, DType::kF32), out = b.output(0, DType::kF32);
//   TileValue x = b.load(in);
//   TileValue e = b.unary(TileOp::kExp, b.binary(TileOp::kSub, x, b.reduce(TileOp::kReduceMax,
//   x))); b.store(out, b.binary(TileOp::kDiv, e, b.reduce(TileOp::kSum, e)));  // softmax
//   absl::StatusOr<std::vector<std::byte>> bytes = b.encode(/*outputs=*/1);
//
// The first mistake (types that do not match) is kept and returned by encode().
//
// An output may share its memory with an input only if every load of that input and every store to
// that output use the same strides: each element is read before it is written, but no order holds
// between different elements.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_BUILDER_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_TILE_BUILDER_H_

#include <array>
#include <cstddef>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {

struct TileValue {
  int id = -1;
};

class TileProgramBuilder {
 public:
  // row_dims: dimensions of the iteration space before the columns, 0 to 6.
  explicit TileProgramBuilder(int row_dims) : row_dims_(row_dims) {}

  // Maps, numbered in the order of these calls; their bases and strides go to TileScalars::maps. An
  // operand may have several maps. index(): no operand, for iota and random numbers.
  int input(int operand, DType dtype) { return add_map(operand, false, dtype); }
  int output(int operand, DType dtype) { return add_map(operand, true, dtype); }
  int index() { return add_map(TileMap::kVirtual, false, DType::kInvalid); }

  // The numbers of user scalars (TileScalars::user), in the order of these calls.
  int user_scalar() { return user_scalars_++; }

  // Full: each element; Row: the element at column 0 of each row; Uniform: the element at the map's
  // base.
  TileValue load(int map, TileShape shape = TileShape::kFull);
  // The element at index * (the map's column stride); limit: the user scalar that bounds the index.
  TileValue gather(int map, TileValue index, int limit);
  void store(int map, TileValue value);

  TileValue constant(double value, TileType type = TileType::kF32);
  TileValue constant_int(int64_t value, TileType type);
  TileValue scalar(int user_scalar, TileType type = TileType::kF32);
  // The number of columns, for means.
  TileValue columns(TileType type = TileType::kF32);
  // The map's value at each element.
  TileValue iota(int map, TileType type, TileShape shape = TileShape::kFull);
  // Philox of the map's value; key and stream: Uniform i64.
  TileValue random_bits(int map, TileValue key, TileValue stream);
  TileValue uniform(int map, TileValue key, TileValue stream);

  TileValue unary(TileOp op, TileValue a);
  TileValue binary(TileOp op, TileValue a, TileValue b);
  TileValue ternary(TileOp op, TileValue a, TileValue b, TileValue c);  // fma, clamp, select
  TileValue cast(TileValue a, TileType type);
  // f32 to f16 or bf16 and back; integers wrapped to a narrower type.
  TileValue round_to(TileValue a, DType dtype);
  // `a` as a value for each element; itself if it is one.
  TileValue full(TileValue a);
  // sum, prod, reduce_max, reduce_min along the columns; `a` is spread to Full before if it is not.
  TileValue reduce(TileOp op, TileValue a);
  // sum / columns
  TileValue mean(TileValue a);

  TileType type(TileValue v) const;
  TileShape shape(TileValue v) const;

  // outputs: those of the step. InvalidArgument if a call was wrong or a limit of the format is
  // passed.
  absl::StatusOr<std::vector<std::byte>> encode(int outputs) const;

 private:
  struct Node {
    TileOp op;
    TileType type;
    TileShape shape;
    std::array<int, 3> src = {-1, -1, -1};
    int map = 0;
    int64_t imm = 0;
    auto operator<=>(const Node&) const = default;
  };
  struct Encoder;

  int add_map(int operand, bool is_output, DType dtype);
  TileValue emit(Node node);
  TileValue fail(absl::string_view why);
  bool valid(TileValue v) const { return v.id >= 0; }
  TileShape joined(std::initializer_list<TileValue> values) const;

  int row_dims_;
  int user_scalars_ = 0;
  std::vector<TileMap> maps_;
  std::vector<Node> nodes_;
  std::map<Node, int> known_;
  absl::Status status_;
};

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_TILE_BUILDER_H_
