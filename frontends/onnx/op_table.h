// The one table of ONNX ops: which of them, in which versions, become what.
//
// An entry covers the versions of one op from `since` up to, but not including, `until`. The
// standard changes an op by giving it a new version; a node means the newest version that is not
// above the operator set its model imports. Versions that differ in what we see of them have
// entries of their own, and a version that no entry covers is not supported.
//
// Entries stand in one file for each family of ops (ops_math.cc and so on), beside the functions
// that they name; the list of families is in op_table.cc.
#ifndef MODELLIB_FRONTENDS_ONNX_OP_TABLE_H_
#define MODELLIB_FRONTENDS_ONNX_OP_TABLE_H_

#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/frontends/onnx/node_view.h"

namespace modellib::onnx {

// The newest operator set of ai.onnx that the entries were compared with. A model that imports a
// newer one is refused as a whole: any of its ops may mean something else.
inline constexpr int kNewestOpset = 28;

// What operand 0 of an entry may be. Operands are tensors, but where it says otherwise; element
// types that are not among these are reported as not supported.
enum class Takes : uint8_t {
  kAny,     // a tensor of any type
  kReal,    // f64, f32, f16, bf16
  kNumber,  // those and integers of 8 bits and more
  kSigned,  // of the numbers, those that have a sign
  kBool,
  kInteger,
  kSequence,
  kItem,  // whatever it is, and other operands likewise
};

inline constexpr int kNow = std::numeric_limits<int>::max();
inline constexpr int kMany = std::numeric_limits<int>::max();

struct OpEntry {
  absl::string_view op;
  int since;
  int until;  // kNow: still valid
  int min_inputs;
  int max_inputs;  // kMany: no limit
  Takes takes;
  // As many values as the op has outputs, or fewer if those at the end are not supported; these may
  // have a name that nothing reads.
  absl::StatusOr<Values> (*import)(NodeView&);
  absl::string_view domain = "";  // "": ai.onnx
};

bool takes(Takes set, DType dtype);
std::string to_string(Takes set);

// Null if there is none.
const OpEntry* find_op(absl::string_view domain, absl::string_view op, int version);
// "Resize of opset 10 to 12", the entry of the same op or of one with a similar name; "" if there
// is none.
std::string nearest_op(absl::string_view domain, absl::string_view op);
// All entries, by family.
std::vector<absl::Span<const OpEntry>> op_families();

absl::Span<const OpEntry> activation_entries();
absl::Span<const OpEntry> control_entries();
absl::Span<const OpEntry> convolution_entries();
absl::Span<const OpEntry> einsum_entries();
absl::Span<const OpEntry> index_entries();
absl::Span<const OpEntry> loss_entries();
absl::Span<const OpEntry> math_entries();
absl::Span<const OpEntry> normalization_entries();
absl::Span<const OpEntry> quantization_entries();
absl::Span<const OpEntry> recurrent_entries();
absl::Span<const OpEntry> reduction_entries();
absl::Span<const OpEntry> resize_entries();
absl::Span<const OpEntry> sequence_entries();
absl::Span<const OpEntry> shape_entries();
absl::Span<const OpEntry> slice_entries();

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_OP_TABLE_H_
