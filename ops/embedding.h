// Look-up in a table of rows: tokens to vectors.
#ifndef MODELLIB_OPS_EMBEDDING_H_
#define MODELLIB_OPS_EMBEDDING_H_

#include <cstdint>
#include <optional>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct EmbeddingAttributes {
  std::optional<int64_t> padding_idx = std::nullopt;  // this row of the table gets no gradient
  static constexpr auto fields() {
    return std::make_tuple(field("padding_idx", &EmbeddingAttributes::padding_idx));
  }
};
// Rows ids[…] of weight [rows, size]: [ids' extents, size]. ids: i64 or i32, any shape. One out of
// range ends the run with OutOfRange.
Value embedding(Value weight, Value ids, EmbeddingAttributes attributes = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_EMBEDDING_H_
