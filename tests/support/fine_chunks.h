// Cuts the steps of a plan into more chunks than a compiler would.
#ifndef MODELLIB_TESTS_SUPPORT_FINE_CHUNKS_H_
#define MODELLIB_TESTS_SUPPORT_FINE_CHUNKS_H_

#include "modellib/formats/plan_generated.h"

namespace modellib::cpu {

// A step as small as a test's is one chunk, in which several workers have nothing to share. This
// cuts each step anew, into four chunks or about as many, where it has the work for them. Results
// keep their bits: the cut is none of what they depend on. For plans of the CPU, before they are
// loaded. What chunks share memory for, or divide by more than a number, stays as it is: sorting,
// attention, oneDNN's convolutions; and what has one chunk by its nature.
void cut_finely(fb::PlanT& plan);

}  // namespace modellib::cpu

#endif  // MODELLIB_TESTS_SUPPORT_FINE_CHUNKS_H_
