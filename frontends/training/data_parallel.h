// Data parallelism: every rank holds the whole model and takes its part of a batch; gradients are
// averaged over the ranks before the update. The collectives are steps of the training plan.
#ifndef MODELLIB_FRONTENDS_TRAINING_DATA_PARALLEL_H_
#define MODELLIB_FRONTENDS_TRAINING_DATA_PARALLEL_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"

namespace modellib::training {

struct DataParallel {
  // Gradients travel together until they are so many bytes: few large collectives cost less than
  // many small ones, and small buckets are complete earlier. PyTorch's DistributedDataParallel has
  // the same default.
  int64_t bucket_bytes = int64_t{25} << 20;
};

// The mean of each gradient over all ranks, in the same order. Buckets are filled from the last
// gradient to the first, as the backward pass comes to them, so that one travels while the next is
// computed. All parts of a batch must be equally large, or the mean is not that of the whole.
std::vector<Value> average_gradients(GraphBuilder& builder, absl::Span<const Value> gradients,
                                     const DataParallel& options);

}  // namespace modellib::training

#endif  // MODELLIB_FRONTENDS_TRAINING_DATA_PARALLEL_H_
