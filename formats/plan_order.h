// Whether steps on different lanes keep out of each other's bytes.
//
// A lane runs its steps one after another; a wait puts a step behind the one that completes the
// signal. All else may happen in any order or at once. The order is kept as vector clocks: for each
// step and lane, how many of that lane's steps are surely complete when it starts. Two steps that
// touch the same bytes, one of them writing, must be ordered so. Bytes are swept in the order of
// issue with a map of intervals that remembers the last write and, for each lane, the last read:
// earlier ones are implied.
#ifndef MODELLIB_FORMATS_PLAN_ORDER_H_
#define MODELLIB_FORMATS_PLAN_ORDER_H_

#include "absl/status/status.h"
#include "modellib/formats/plan_decode.h"

namespace modellib {

// `work` bounds the visits of intervals; ResourceExhausted when it is spent.
absl::Status check_order(const fb::Plan& plan, const DecodedEntry& entry, int64_t* work);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_ORDER_H_
