// What a session asks of the ranks beside it: collectives on raw buffers. The runtime declares
// them, distributed/ implements them (over NCCL, Gloo, MPI, or threads of one process).
//
// All ranks make the same calls in the same order. A call returns when this rank's output is whole
// and its input may be written again. Reductions combine in an order that depends on the number of
// ranks and elements alone, so that a run repeats to the last bit.
#ifndef MODELLIB_EXECUTORS_RUNTIME_COMMUNICATOR_H_
#define MODELLIB_EXECUTORS_RUNTIME_COMMUNICATOR_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/graph/dtype.h"

namespace modellib::runtime {

// The numbers stand in plans.
enum class Reduction : int { kSum = 0, kProduct = 1, kMin = 2, kMax = 3 };

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;  // 0 <= rank < size
  virtual int size() const = 0;

  // Counts are elements of `dtype`. Input and output are the same buffer or disjoint. They fail
  // with Aborted after abort() on any rank, InvalidArgument for a type that cannot be combined or
  // where the ranks disagree on what they do.
  //
  // output[i] = reduction over all ranks of input[i], 0 <= i < count.
  virtual absl::Status all_reduce(const void* input, void* output, int64_t count, DType dtype,
                                  Reduction reduction) = 0;
  // output[i] = input[i] of rank `root`; the other ranks' input is not read.
  virtual absl::Status broadcast(const void* input, void* output, int64_t count, DType dtype,
                                 int root) = 0;
  // output[r * count + i] = input[i] of rank r. Input and output are disjoint.
  virtual absl::Status all_gather(const void* input, void* output, int64_t count, DType dtype) = 0;
  // output[i] = reduction over all ranks of input[rank * count + i]. Input and output are disjoint.
  virtual absl::Status reduce_scatter(const void* input, void* output, int64_t count, DType dtype,
                                      Reduction reduction) = 0;

  // Ends the group: calls that wait, here and on the other ranks, and all later ones fail with
  // Aborted. Called by a session whose run failed, so that its peers do not wait for ever. May be
  // called from any thread.
  virtual void abort() = 0;
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_COMMUNICATOR_H_
