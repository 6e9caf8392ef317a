// Ranks that are threads of one process: the simplest Communicator, for tests, for a machine with
// several devices, and as the example for those that cross machines.
#ifndef MODELLIB_DISTRIBUTED_LOCAL_LOCAL_GROUP_H_
#define MODELLIB_DISTRIBUTED_LOCAL_LOCAL_GROUP_H_

#include <memory>
#include <vector>

#include "modellib/executors/runtime/communicator.h"

namespace modellib::distributed {

// One communicator for each rank, to be used on a thread of its own; they may be destroyed in any
// order, when none is in a call.
//
// Each rank combines one share of the elements, over the ranks in ascending order, and writes it to
// all outputs: no scratch memory, and the same bits on every rank and in every run. Sums and
// products of 16-bit floats are made in f32 and rounded once. Types: f64, f32, f16, bf16 and
// integers of 8 to 64 bits; min and max propagate NaN.
std::vector<std::unique_ptr<runtime::Communicator>> make_local_group(int ranks);

}  // namespace modellib::distributed

#endif  // MODELLIB_DISTRIBUTED_LOCAL_LOCAL_GROUP_H_
