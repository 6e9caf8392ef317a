// What the loaders of a plan share: reading FlatBuffers that may lack anything, and numbers that
// nobody vouches for.
#ifndef MODELLIB_EXECUTORS_RUNTIME_PLAN_CHECKS_H_
#define MODELLIB_EXECUTORS_RUNTIME_PLAN_CHECKS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/formats/plan_generated.h"

namespace modellib::runtime {

using Wide = __int128;  // sums and products of 64-bit numbers without overflow

inline constexpr uint64_t kMaxBytes = uint64_t{1} << 46;

template <class Vector>
uint32_t size_of(const Vector* v) {
  return v == nullptr ? 0 : v->size();
}

inline std::string text(const flatbuffers::String* s) { return s == nullptr ? "" : s->str(); }

template <class... Parts>
absl::Status bad(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("plan: ", parts...));
}

template <class... Parts>
absl::Status bad_entry(const EntryImage& entry, const Parts&... parts) {
  return bad("entry '", entry.info.name, "': ", parts...);
}

// An error for a type that no buffer can hold. `what`, here and below: "input 'x'".
absl::StatusOr<DType> checked_dtype(fb::DType dtype, absl::string_view what);

// Bytes of a shape, or an error for one that is negative or absurd.
absl::StatusOr<uint64_t> checked_bytes(DType dtype, absl::Span<const int64_t> shape,
                                       absl::string_view what);

// A number whose slot, if it has one, is among those of the entry; and the least and largest that
// it can be.
absl::StatusOr<ScalarImage> checked_scalar(const EntryImage& entry, const fb::Scalar& s);
int64_t min_of(const EntryImage& entry, const ScalarImage& s);
int64_t max_of(const EntryImage& entry, const ScalarImage& s);

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_PLAN_CHECKS_H_
