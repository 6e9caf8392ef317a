// u64 in tile programs. Registers hold its bits as i64: sums, products and equality are the same,
// but whatever depends on how large a number is takes a few instructions more.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_UNSIGNED_TILES_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_UNSIGNED_TILES_H_

#include "modellib/executors/cpu/kernels/tile_builder.h"

namespace modellib::cpu {

// Like TileProgramBuilder::binary and reduce, for operands that are u64.
TileValue unsigned_binary(TileProgramBuilder& builder, TileOp op, TileValue x, TileValue y);
TileValue unsigned_reduce(TileProgramBuilder& builder, TileOp op, TileValue x);
// Between u64 and kF32 or kF64. To u64: towards zero, saturating; NaN gives 0.
TileValue unsigned_to_float(TileProgramBuilder& builder, TileValue x, TileType to);
TileValue float_to_unsigned(TileProgramBuilder& builder, TileValue x);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_UNSIGNED_TILES_H_
