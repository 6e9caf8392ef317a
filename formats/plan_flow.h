// Whether each read finds what was meant for it: the flow of data through a plan, derived again.
//
// The steps are walked in the order of issue (plan_order.h shows that every order that lanes allow
// gives the same values), with a map from bytes to the write that they hold. A read is refused
// where its bytes hold nothing, or the scratch of a step, or are torn: they hold two values, of
// which the later overwrote a part of the earlier without lying within it, as when the memory of a
// buffer was given away too soon. Bodies of loops are walked twice, so that the second trip finds
// what the first left; branches are walked apart, and afterwards only what both wrote counts as
// written.
#ifndef MODELLIB_FORMATS_PLAN_FLOW_H_
#define MODELLIB_FORMATS_PLAN_FLOW_H_

#include "absl/status/status.h"
#include "modellib/formats/plan_decode.h"

namespace modellib {

// `work` bounds the visits of intervals; ResourceExhausted when it is spent.
absl::Status check_flow(const fb::Plan& plan, const DecodedEntry& entry, int64_t* work);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_FLOW_H_
