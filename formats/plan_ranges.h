// The values that a plan's integer expressions can take, by interval arithmetic.
//
// A slot is computed from symbols whenever inputs are bound; buffers are as large as the largest
// value needs. The compiler and the verifier take the bounds from this one function, so they agree.
#ifndef MODELLIB_FORMATS_PLAN_RANGES_H_
#define MODELLIB_FORMATS_PLAN_RANGES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace modellib {

namespace fb {
struct DimOp;
}

// All integers from `min` to `max`, both included.
struct ValueRange {
  int64_t min = 0;
  int64_t max = 0;
};

// The least range known to hold the value of `expression` (operations in postfix order, see
// plan.fbs) while each symbol stays in its range. Floor division and modulus round towards minus
// infinity. Symbols that occur twice count as independent, so the range may be wider than need be
// (n - n of n in [1, 4] gives [-3, 3]).
//
// InvalidArgument for: an expression that is empty, takes from an empty stack, leaves more than one
// value or needs more than 64; an unknown operation or symbol; a divisor that may be less than one;
// and a value that may not fit in 64 bits.
absl::StatusOr<ValueRange> expression_range(absl::Span<const fb::DimOp> expression,
                                            absl::Span<const ValueRange> symbols);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_RANGES_H_
