#include "modellib/frontends/training/data_loader.h"

#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/philox.h"
#include "modellib/graph/status_macros.h"

namespace modellib::training {
namespace {

constexpr uint64_t kShuffleStream = 0x73687566666c65;  // "shuffle"

absl::StatusOr<Batch> make_batch(const Tensor& inputs, const Tensor& targets, int64_t size) {
  Batch batch;
  std::vector<int64_t> shape = inputs.shape();
  shape[0] = size;
  MODELLIB_ASSIGN_OR_RETURN(batch.input, Tensor::zeros(inputs.dtype(), shape));
  shape = targets.shape();
  shape[0] = size;
  MODELLIB_ASSIGN_OR_RETURN(batch.target, Tensor::zeros(targets.dtype(), shape));
  return batch;
}

void copy_row(const Tensor& from, int64_t row, Tensor& to, int64_t at) {
  const int64_t bytes = from.bytes() / from.shape()[0];
  std::memcpy(to.mutable_data() + at * bytes, from.data() + row * bytes,
              static_cast<size_t>(bytes));
}

}  // namespace

absl::StatusOr<DataLoader> DataLoader::create(Tensor inputs, Tensor targets,
                                              const DataLoaderOptions& options) {
  if (inputs.rank() == 0 || targets.rank() == 0 || inputs.shape()[0] == 0 ||
      inputs.shape()[0] != targets.shape()[0]) {
    return absl::InvalidArgumentError("inputs and targets must hold as many samples, at least one");
  }
  for (const DType dtype : {inputs.dtype(), targets.dtype()}) {
    if (bits_of(dtype) < 8) {
      return absl::InvalidArgumentError(absl::StrCat("elements of ", to_string(dtype),
                                                     " share their bytes: give i8 or u8 instead"));
    }
  }
  if (options.batch_size < 1) {
    return absl::InvalidArgumentError(absl::StrCat("batch size ", options.batch_size));
  }
  DataLoader loader;
  loader.options_ = options;
  if (options.batch_size <= inputs.shape()[0]) {
    MODELLIB_ASSIGN_OR_RETURN(loader.full_, make_batch(inputs, targets, options.batch_size));
  }
  const int64_t rest = inputs.shape()[0] % options.batch_size;
  if (rest > 0 && !options.drop_last) {
    MODELLIB_ASSIGN_OR_RETURN(loader.last_, make_batch(inputs, targets, rest));
  }
  loader.order_.resize(static_cast<size_t>(inputs.shape()[0]));
  loader.inputs_ = std::move(inputs);
  loader.targets_ = std::move(targets);
  loader.begin_epoch(0);
  return loader;
}

int64_t DataLoader::batches() const {
  const int64_t size = options_.batch_size;
  return options_.drop_last ? samples() / size : samples() / size + (samples() % size != 0);
}

void DataLoader::begin_epoch(int64_t epoch) {
  position_ = 0;
  std::iota(order_.begin(), order_.end(), int64_t{0});
  if (!options_.shuffle) return;
  // Fisher and Yates, with counter-based numbers: the same order on every machine.
  const uint64_t key = options_.seed * 0x9e3779b97f4a7c15 + static_cast<uint64_t>(epoch);
  for (size_t i = order_.size(); i > 1; --i) {
    const uint64_t bits = philox_bits(key, kShuffleStream, i);
    std::swap(order_[i - 1], order_[static_cast<size_t>(bits * i >> 32)]);
  }
}

const Batch* DataLoader::next() {
  const int64_t left = samples() - position_;
  const bool is_short = left < options_.batch_size;
  if (left == 0 || (is_short && options_.drop_last)) return nullptr;
  Batch& batch = is_short ? last_ : full_;
  const int64_t size = is_short ? left : options_.batch_size;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t row = order_[static_cast<size_t>(position_ + i)];
    copy_row(inputs_, row, batch.input, i);
    copy_row(targets_, row, batch.target, i);
  }
  position_ += size;
  return &batch;
}

}  // namespace modellib::training
