// What the compiler and the verifier both need to know of sizes.
#ifndef MODELLIB_FORMATS_PLAN_LIMITS_H_
#define MODELLIB_FORMATS_PLAN_LIMITS_H_

#include <cstdint>

namespace modellib {

// Of a tensor, a buffer, or all of an arena. More than any machine has; sums of a few such sizes
// still fit in 64 bits, and it fits in a signed number.
inline constexpr uint64_t kMaxPlanBytes = uint64_t{1} << 62;

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_LIMITS_H_
