#include "modellib/distributed/local/local_group.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib::distributed {
namespace {

using runtime::Communicator;
using runtime::Reduction;

enum class Collective : int { kAllReduce, kBroadcast, kAllGather, kReduceScatter };

// What a rank brought to the present call. Ranks compare these before they touch each other's
// buffers.
struct Call {
  Collective collective;
  const std::byte* input;
  std::byte* output;
  int64_t count;
  DType dtype;
  int option;  // reduction or root

  bool agrees(const Call& o) const {
    return collective == o.collective && count == o.count && dtype == o.dtype && option == o.option;
  }
};

// All ranks meet twice in a call. Until everybody has come to the first meeting the group can be
// aborted; from then on each rank has only its own work to do and comes to the second for certain,
// so nobody leaves while others still use its buffers.
class Group {
 public:
  explicit Group(int ranks) : calls(static_cast<size_t>(ranks)), size_(ranks) {}
  int size() const { return size_; }
  bool aborted() const { return (first_.load(std::memory_order_acquire) & kAborted) != 0; }

  // True when all ranks are here; false if the group was aborted before.
  bool begin() {
    uint64_t seen = first_.load(std::memory_order_acquire);
    bool last;
    do {
      if ((seen & kAborted) != 0) return false;
      last = is_last(seen);
    } while (!first_.compare_exchange_weak(seen, arrive(seen), std::memory_order_acq_rel));
    return last ? open(first_) : wait_for_others(first_, seen);
  }

  // Returns when all ranks are here.
  void end() {
    uint64_t seen = second_.load(std::memory_order_acquire);
    while (!second_.compare_exchange_weak(seen, arrive(seen), std::memory_order_acq_rel)) {
    }
    if (is_last(seen)) {
      open(second_);
    } else {
      wait_for_others(second_, seen);
    }
  }

  void abort() {
    first_.fetch_or(kAborted, std::memory_order_acq_rel);
    first_.notify_all();
  }

  std::vector<Call> calls;  // by rank

 private:
  // A meeting: the number of those who came (low half), that of the meeting, and whether the group
  // was aborted.
  static constexpr uint64_t kAborted = uint64_t{1} << 63;
  static constexpr uint64_t kRoundMask = 0x7fffffff00000000;

  bool is_last(uint64_t meeting) const {
    return static_cast<uint32_t>(meeting) + 1 == static_cast<uint32_t>(size_);
  }
  uint64_t arrive(uint64_t meeting) const {
    if (!is_last(meeting)) return meeting + 1;
    return ((meeting & kRoundMask) + (uint64_t{1} << 32)) & kRoundMask;
  }
  static bool open(std::atomic<uint64_t>& meeting) {
    meeting.notify_all();
    return true;
  }
  static bool wait_for_others(std::atomic<uint64_t>& meeting, uint64_t joined) {
    while (true) {
      const uint64_t now = meeting.load(std::memory_order_acquire);
      if ((now & kRoundMask) != (joined & kRoundMask)) return true;
      if ((now & kAborted) != 0) return false;
      meeting.wait(now, std::memory_order_acquire);
    }
  }

  const int size_;
  std::atomic<uint64_t> first_{0};
  std::atomic<uint64_t> second_{0};
};

template <class T>
T load(const std::byte* p, int64_t i) {
  T value;
  std::memcpy(&value, p + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
template <class T>
void store(std::byte* p, int64_t i, T value) {
  std::memcpy(p + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// The type in which T is combined.
template <class T>
struct Wide {
  using Type = T;
  static T widen(T v) { return v; }
  static T narrow(T v) { return v; }
};
template <>
struct Wide<Float16> {
  using Type = float;
  static float widen(Float16 v) { return to_f32(v); }
  static Float16 narrow(float v) { return to_f16(v); }
};
template <>
struct Wide<BFloat16> {
  using Type = float;
  static float widen(BFloat16 v) { return to_f32(v); }
  static BFloat16 narrow(float v) { return to_bf16(v); }
};

// Integers wrap around, as they do everywhere in the library.
template <class T>
T combine(T a, T b, Reduction reduction) {
  if constexpr (std::is_floating_point_v<T>) {
    switch (reduction) {
      case Reduction::kSum:
        return a + b;
      case Reduction::kProduct:
        return a * b;
      case Reduction::kMin:
        return std::isnan(a) || a < b ? a : b;
      case Reduction::kMax:
        return std::isnan(a) || a > b ? a : b;
    }
  } else {
    const auto x = static_cast<uint64_t>(a);
    const auto y = static_cast<uint64_t>(b);
    switch (reduction) {
      case Reduction::kSum:
        return static_cast<T>(x + y);
      case Reduction::kProduct:
        return static_cast<T>(x * y);
      case Reduction::kMin:
        return std::min(a, b);
      case Reduction::kMax:
        return std::max(a, b);
    }
  }
  return a;
}

// Elements [begin, end) of all inputs, which start `input_offset` elements later, over the ranks in
// ascending order; the result goes to the outputs of ranks [first, last).
template <class T>
void reduce_share(const std::vector<Call>& calls, int64_t begin, int64_t end, int64_t input_offset,
                  size_t first, size_t last, Reduction reduction) {
  using W = Wide<T>;
  for (int64_t i = begin; i < end; ++i) {
    auto sum = W::widen(load<T>(calls[0].input, input_offset + i));
    for (size_t r = 1; r < calls.size(); ++r) {
      sum = combine(sum, W::widen(load<T>(calls[r].input, input_offset + i)), reduction);
    }
    const T result = W::narrow(sum);
    for (size_t r = first; r < last; ++r) store<T>(calls[r].output, i, result);
  }
}

using ReduceShare = void (*)(const std::vector<Call>&, int64_t, int64_t, int64_t, size_t, size_t,
                             Reduction);

// Null for a type that cannot be combined.
ReduceShare reduce_share_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return &reduce_share<double>;
    case DType::kF32:
      return &reduce_share<float>;
    case DType::kF16:
      return &reduce_share<Float16>;
    case DType::kBF16:
      return &reduce_share<BFloat16>;
    case DType::kI8:
      return &reduce_share<int8_t>;
    case DType::kI16:
      return &reduce_share<int16_t>;
    case DType::kI32:
      return &reduce_share<int32_t>;
    case DType::kI64:
      return &reduce_share<int64_t>;
    case DType::kU8:
      return &reduce_share<uint8_t>;
    case DType::kU16:
      return &reduce_share<uint16_t>;
    case DType::kU32:
      return &reduce_share<uint32_t>;
    case DType::kU64:
      return &reduce_share<uint64_t>;
    default:
      return nullptr;
  }
}

class LocalRank final : public Communicator {
 public:
  LocalRank(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  void abort() override { group_->abort(); }

  absl::Status all_reduce(const void* input, void* output, int64_t count, DType dtype,
                          Reduction reduction) override {
    MODELLIB_RETURN_IF_ERROR(
        begin(Collective::kAllReduce, input, output, count, dtype, static_cast<int>(reduction)));
    // Products of large counts and ranks stay in range: a buffer has less than 2^60 elements.
    const int64_t begin = share(count, rank_);
    const int64_t end = share(count, rank_ + 1);
    reduce_share_of(dtype)(group_->calls, begin, end, 0, 0, group_->calls.size(), reduction);
    return end_call();
  }

  absl::Status broadcast(const void* input, void* output, int64_t count, DType dtype,
                         int root) override {
    if (root < 0 || root >= size()) {
      return absl::InvalidArgumentError(absl::StrCat("no rank ", root, " of ", size()));
    }
    MODELLIB_RETURN_IF_ERROR(begin(Collective::kBroadcast, input, output, count, dtype, root));
    const std::byte* const source = group_->calls[static_cast<size_t>(root)].input;
    copy(static_cast<std::byte*>(output), source, bytes_of(dtype, count));
    return end_call();
  }

  absl::Status all_gather(const void* input, void* output, int64_t count, DType dtype) override {
    MODELLIB_RETURN_IF_ERROR(begin(Collective::kAllGather, input, output, count, dtype, 0));
    const int64_t bytes = bytes_of(dtype, count);
    for (int r = 0; r < size(); ++r) {
      copy(static_cast<std::byte*>(output) + r * bytes, group_->calls[static_cast<size_t>(r)].input,
           bytes);
    }
    return end_call();
  }

  absl::Status reduce_scatter(const void* input, void* output, int64_t count, DType dtype,
                              Reduction reduction) override {
    MODELLIB_RETURN_IF_ERROR(begin(Collective::kReduceScatter, input, output, count, dtype,
                                   static_cast<int>(reduction)));
    const auto rank = static_cast<size_t>(rank_);
    reduce_share_of(dtype)(group_->calls, 0, count, rank_ * count, rank, rank + 1, reduction);
    return end_call();
  }

 private:
  static void copy(std::byte* to, const std::byte* from, int64_t bytes) {
    if (bytes != 0 && to != from) std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  int64_t share(int64_t count, int rank) const {
    return count / size() * rank + std::min<int64_t>(rank, count % size());
  }

  static absl::Status aborted() {
    return absl::AbortedError("the group of ranks was ended, by this rank or another");
  }

  absl::Status begin(Collective collective, const void* input, void* output, int64_t count,
                     DType dtype, int option) {
    const bool reduces =
        collective == Collective::kAllReduce || collective == Collective::kReduceScatter;
    if (count < 0 || bits_of(dtype) < 8 || (reduces && reduce_share_of(dtype) == nullptr)) {
      group_->abort();
      return absl::InvalidArgumentError(
          absl::StrCat("no such collective on ", count, " elements of ", to_string(dtype)));
    }
    // After an abort the slower ranks may still compare the calls of the last meeting.
    if (group_->aborted()) return aborted();
    group_->calls[static_cast<size_t>(rank_)] = {collective,
                                                 static_cast<const std::byte*>(input),
                                                 static_cast<std::byte*>(output),
                                                 count,
                                                 dtype,
                                                 option};
    if (!group_->begin()) return aborted();
    for (size_t r = 0; r < group_->calls.size(); ++r) {
      if (!group_->calls[r].agrees(group_->calls[0])) {
        // Every rank sees the same calls and comes to the same end; nobody reads on.
        group_->abort();
        return absl::InvalidArgumentError(
            absl::StrCat("ranks 0 and ", r, " disagree on the collective that comes next"));
      }
    }
    return absl::OkStatus();
  }

  // The outputs are whole, and the inputs free, when all are here again.
  absl::Status end_call() {
    group_->end();
    return absl::OkStatus();
  }

  const std::shared_ptr<Group> group_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_group(int ranks) {
  auto group = std::make_shared<Group>(ranks);
  std::vector<std::unique_ptr<Communicator>> communicators;
  communicators.reserve(static_cast<size_t>(std::max(ranks, 0)));
  for (int rank = 0; rank < ranks; ++rank) {
    communicators.push_back(std::make_unique<LocalRank>(group, rank));
  }
  return communicators;
}

}  // namespace modellib::distributed
