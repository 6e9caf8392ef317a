// Batches of (input, target) from tensors in memory.
#ifndef MODELLIB_FRONTENDS_TRAINING_DATA_LOADER_H_
#define MODELLIB_FRONTENDS_TRAINING_DATA_LOADER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/tensor.h"

namespace modellib::training {

struct Batch {
  Tensor input;   // [size, …]
  Tensor target;  // [size, …]
};

struct DataLoaderOptions {
  int64_t batch_size = 1;
  bool shuffle = false;    // anew in each epoch
  uint64_t seed = 0;       // of the shuffling
  bool drop_last = false;  // leave out a last batch that is short
};

// An epoch goes once over all samples:
//
//   loader.begin_epoch(epoch);
//   while (const Batch* batch = loader.next()) { … }
class DataLoader {
 public:
  // Not copied: both would fill the same batches.
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;
  DataLoader(DataLoader&&) = default;
  DataLoader& operator=(DataLoader&&) = default;

  // Extent 0 of both tensors counts the samples. InvalidArgument if they differ, if there is none,
  // for elements of less than a byte, or for a batch size below 1.
  static absl::StatusOr<DataLoader> create(Tensor inputs, Tensor targets,
                                           const DataLoaderOptions& options = {});

  // Starts over. The order of a shuffled epoch depends on the seed and the epoch's number alone.
  void begin_epoch(int64_t epoch);
  // The next batch, or null after the last. Valid until the next call; its memory is used again.
  const Batch* next();

  int64_t samples() const { return inputs_.shape()[0]; }
  int64_t batches() const;  // of an epoch
  const DataLoaderOptions& options() const { return options_; }

 private:
  DataLoader() = default;

  Tensor inputs_, targets_;
  DataLoaderOptions options_;
  std::vector<int64_t> order_;
  int64_t position_ = 0;
  Batch full_, last_;  // buffers for batches of the full size and for the short one
};

}  // namespace modellib::training

#endif  // MODELLIB_FRONTENDS_TRAINING_DATA_LOADER_H_
