#include "modellib/executors/runtime/plan_checks.h"

namespace modellib::runtime {

absl::StatusOr<DType> checked_dtype(fb::DType dtype, absl::string_view what) {
  const auto number = static_cast<int>(dtype);
  if (number <= 0 || number >= kDTypeCount || bits_of(static_cast<DType>(number)) == 0) {
    return bad(what, " has no element type that a buffer can hold (", number, ")");
  }
  return static_cast<DType>(number);
}

absl::StatusOr<uint64_t> checked_bytes(DType dtype, absl::Span<const int64_t> shape,
                                       absl::string_view what) {
  Wide count = 1;
  for (int64_t extent : shape) {
    if (extent < 0) return bad(what, " has the extent ", extent);
    count *= extent;
    if (count > Wide{kMaxBytes}) return bad(what, " has too many elements");
  }
  return static_cast<uint64_t>(modellib::bytes_of(dtype, static_cast<int64_t>(count)));
}

absl::StatusOr<ScalarImage> checked_scalar(const EntryImage& entry, const fb::Scalar& s) {
  if (s.slot() >= 0 && static_cast<size_t>(s.slot()) >= entry.slots.size()) {
    return bad_entry(entry, "a number names slot ", s.slot(), " of ", entry.slots.size());
  }
  return ScalarImage{s.value(), s.slot() < 0 ? -1 : s.slot()};
}

int64_t min_of(const EntryImage& entry, const ScalarImage& s) {
  return s.slot < 0 ? s.value : entry.slots[static_cast<size_t>(s.slot)].min;
}

int64_t max_of(const EntryImage& entry, const ScalarImage& s) {
  return s.slot < 0 ? s.value : entry.slots[static_cast<size_t>(s.slot)].max;
}

}  // namespace modellib::runtime
