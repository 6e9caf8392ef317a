// The oracle of the tests of tile programs: one instruction at a time over the whole space, one
// element at a time, in double or int64.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_TILE_INTERPRETER_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_TILE_INTERPRETER_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/dtype.h"

namespace modellib::cpu {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline bool floating(TileType t) { return t == TileType::kF32 || t == TileType::kF64; }

// A value of any type: f for floats, i for integers and bool.
struct Number {
  double f = 0;
  int64_t i = 0;
};
// As a register of the type holds it.
Number rounded(TileType t, Number n);

// Element i of an operand's bytes, as the type in memory holds it.
Number read(DType d, const std::vector<std::byte>& m, int64_t i);
void write(DType d, std::vector<std::byte>& m, int64_t i, Number n);

// The bytes of each output or input.
using Memory = std::vector<std::vector<std::byte>>;

// Runs a program; the outputs have their sizes already.
void interpret(const std::vector<std::byte>& bytes, const TileScalars& sc, Memory& outputs,
               const Memory& inputs);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_TILE_INTERPRETER_H_
