// Whether a plan keeps what it promises: an independent check that runs in tests and on every load.
//
// The compiler decides where each buffer lies and in which order steps run; an error there corrupts
// results silently, and a hostile file could reach beyond its memory. So nothing in a plan is
// believed. From the steps alone this check derives again who writes which bytes and who reads
// them, and refuses a plan in which
//  - an index, a range, an extent or an alignment is wrong, for any value that the symbols may
//  take;
//  - sequences do not form a tree, or a wait names a signal that no earlier step completes (a
//  deadlock);
//  - a caller's input or a constant is written, or a variable without the entry saying so;
//  - bytes are read that nothing wrote, that were scratch of another step, or of which
//    another value has overwritten a part;
//  - two steps on different lanes touch the same bytes, one of them writing, with no order between
//  them;
//  - an output is not written whole.
//
// It shares no code with the planner. It knows operands, not arithmetic: that a kernel stays within
// its operands is for the kernel's own `validate` (executors/runtime/kernel.h), and that constants
// lie within their segments for the container.
#ifndef MODELLIB_FORMATS_VERIFY_PLAN_H_
#define MODELLIB_FORMATS_VERIFY_PLAN_H_

#include "absl/status/status.h"

namespace modellib {

namespace fb {
struct Plan;
}

// `plan` has passed flatbuffers::Verifier and its buffer begins on 8 bytes; all else about it may
// be hostile. InvalidArgument names the entry, the step and what is wrong with it;
// ResourceExhausted if the plan is too entangled to be checked in a bounded time (tens of times
// beyond the largest known models).
absl::Status verify_plan(const fb::Plan& plan);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_VERIFY_PLAN_H_
