// Random numbers as a function of a key, a stream and an element's place: Philox-4x32-10.
//
// A key is an i64 scalar: the seed, into which fold_in() mixes what must change the numbers (the
// step, the microbatch, a loop index). Each call site has a stream of its own, taken from its
// scope, so one key serves a whole model and a rewrite elsewhere leaves the numbers alone. Element
// i (C order over the logical tensor) has the bits philox_bits(key, stream, i) of graph/philox.h,
// so every executor gives the same, however the tensor is split.
#ifndef MODELLIB_OPS_RANDOM_H_
#define MODELLIB_OPS_RANDOM_H_

#include <cstdint>
#include <tuple>

#include "modellib/graph/builder.h"
#include "modellib/graph/op_def.h"

namespace modellib {

struct RandomAttributes {
  Shape shape;
  int64_t stream = -1;        // -1: the functions below take the builder's next
  DType dtype = DType::kF32;  // f32 or f64 for uniform and normal, u32 for bits
  static constexpr auto fields() {
    return std::make_tuple(field("shape", &RandomAttributes::shape),
                           field("stream", &RandomAttributes::stream),
                           field("dtype", &RandomAttributes::dtype));
  }
};

// Multiples of 2^-24 in [0, 1), the same for both types.
Value random_uniform(Value key, RandomAttributes attributes);
// 32 bits each, u32 (attributes.dtype is not read).
Value random_bits(Value key, RandomAttributes attributes);
// Mean 0, variance 1, at most 5.8 in magnitude. Box and Muller, "A note on the generation of random
// normal deviates", 1958.
Value random_normal(Value key, RandomAttributes attributes);

// Another key, for each `data` (an i64 scalar): the first two words of philox_block(key,
// kFoldInStream, data), low word first.
Value fold_in(Value key, Value data);
Value fold_in(Value key, int64_t data);
inline constexpr uint64_t kFoldInStream = 0x666f6c645f696e;  // "fold_in"

// For ops that take a key.
TensorType random_key_type();
absl::Status require_key(const InferenceContext& c, int operand);

}  // namespace modellib

#endif  // MODELLIB_OPS_RANDOM_H_
