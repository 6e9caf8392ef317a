// A plan's tables (variables, constants, symbols, slots, tensors), read with suspicion.
#ifndef MODELLIB_FORMATS_PLAN_TABLES_H_
#define MODELLIB_FORMATS_PLAN_TABLES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/plan_limits.h"
#include "modellib/formats/plan_ranges.h"

namespace modellib {

// Of the start of arenas, constants and variables.
inline constexpr uint64_t kPlanAlignment = 64;

// Null where a vector is absent.
template <typename Vector>
uint32_t count_of(const Vector* v) {
  return v == nullptr ? 0 : v->size();
}

inline absl::string_view text_of(const flatbuffers::String* s) {
  return s == nullptr ? absl::string_view() : absl::string_view(s->c_str(), s->size());
}

template <typename... Args>
absl::Status refuse(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat("plan: ", args...));
}

// Checks that vectors of wide elements begin where they may be read: flatbuffers::Verifier 2.0
// looks at the alignment of their lengths alone. Comes before all other checks.
absl::Status check_alignment(const fb::Plan& plan);

// Checks what belongs to no entry: kernels, variables, constants, names of entries.
absl::Status check_tables(const fb::Plan& plan);

// The numbers of an entry that vary from run to run, by their ranges.
class PlanScalars {
 public:
  // Checks the symbols, the slots and the constraints. `where` names the entry.
  static absl::StatusOr<PlanScalars> make(const fb::Entry& entry, const std::string& where);

  // The values that a scalar can take. The message of an error doesn't say where.
  absl::StatusOr<ValueRange> range(const fb::Scalar& s) const;

  // Checks a tensor's extents, symbols and bytes.
  absl::Status check_tensor(const fb::TensorDesc& t, const std::string& at) const;

 private:
  std::vector<ValueRange> symbols_, slots_;
};

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_TABLES_H_
