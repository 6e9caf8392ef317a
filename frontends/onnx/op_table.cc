#include "modellib/frontends/onnx/op_table.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/dtype.h"
#include "modellib/ops/op_support.h"

namespace modellib::onnx {
namespace {

using Key = std::pair<absl::string_view, absl::string_view>;  // domain, op
using Index = absl::flat_hash_map<Key, std::vector<const OpEntry*>>;

const Index& index() {
  static const Index* const index = [] {
    auto* made = new Index;
    for (absl::Span<const OpEntry> family : op_families()) {
      for (const OpEntry& e : family) (*made)[{e.domain, e.op}].push_back(&e);
    }
    return made;
  }();
  return *index;
}

// Insertions, deletions and changes of one letter that make one name the other, at most `limit`.
size_t edits(absl::string_view a, absl::string_view b, size_t limit) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > limit) return limit + 1;
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row.back();
}

std::string describe(const std::vector<const OpEntry*>& entries) {
  const auto one = [](std::string* out, const OpEntry* e) {
    absl::StrAppend(out, e->since);
    if (e->until == kNow) {
      absl::StrAppend(out, " and later");
    } else if (e->until - 1 != e->since) {
      absl::StrAppend(out, " to ", e->until - 1);
    }
  };
  return absl::StrCat(entries.front()->op, " of opset ", absl::StrJoin(entries, ", ", one));
}

}  // namespace

std::vector<absl::Span<const OpEntry>> op_families() {
  return {activation_entries(), control_entries(),       convolution_entries(),
          einsum_entries(),     index_entries(),         loss_entries(),
          math_entries(),       normalization_entries(), quantization_entries(),
          recurrent_entries(),  reduction_entries(),     resize_entries(),
          sequence_entries(),   shape_entries(),         slice_entries()};
}

bool takes(Takes set, DType dtype) {
  switch (set) {
    case Takes::kAny:
    case Takes::kItem:
      return true;
    case Takes::kReal:
      return is_real(dtype);
    case Takes::kNumber:
      return is_number(dtype);
    case Takes::kSigned:
      return is_number(dtype) && (is_floating(dtype) || is_signed_integer(dtype));
    case Takes::kBool:
      return dtype == DType::kBool;
    case Takes::kInteger:
      return is_number(dtype) && is_integer(dtype);
    case Takes::kSequence:
      return false;
  }
  return false;
}

std::string to_string(Takes set) {
  switch (set) {
    case Takes::kAny:
      return "any type";
    case Takes::kReal:
      return "floats";
    case Takes::kNumber:
      return "numbers";
    case Takes::kSigned:
      return "signed numbers";
    case Takes::kBool:
      return "bool";
    case Takes::kInteger:
      return "integers";
    case Takes::kSequence:
      return "sequences";
    case Takes::kItem:
      return "tensors, sequences and optionals";
  }
  return "";
}

const OpEntry* find_op(absl::string_view domain, absl::string_view op, int version) {
  const auto it = index().find(Key(domain, op));
  if (it == index().end()) return nullptr;
  for (const OpEntry* e : it->second) {
    if (e->since <= version && version < e->until) return e;
  }
  return nullptr;
}

std::string nearest_op(absl::string_view domain, absl::string_view op) {
  const auto it = index().find(Key(domain, op));
  if (it != index().end()) return describe(it->second);
  constexpr size_t kSimilar = 2;
  size_t best = kSimilar + 1;
  std::string found;
  for (const auto& [key, entries] : index()) {
    const size_t distance = edits(op, key.second, kSimilar);
    const std::string candidate = distance < best || distance == best ? describe(entries) : "";
    // Of equally near ones the first by name, so that the message is always the same.
    if (distance > kSimilar || distance > best) continue;
    if (distance < best || candidate < found) found = candidate;
    best = distance;
  }
  return found;
}

}  // namespace modellib::onnx
