// Sequences and optionals: lists of values that these ops make, pick from and join (item.h).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/element_types.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

constexpr int64_t kLongest = 65536;

int64_t length_of(const Sequence& sequence) {
  return static_cast<int64_t>(sequence.tensors.size());
}

absl::StatusOr<Values> give(NodeView& n, Sequence sequence) {
  if (length_of(sequence) > kLongest) {
    return absl::UnimplementedError(absl::StrCat("a sequence of ", length_of(sequence),
                                                 " tensors, supported are up to ", kLongest));
  }
  n.give({Item(std::move(sequence))});
  return Values{};
}

absl::Status check_type(const Sequence& sequence, const Value& tensor) {
  if (tensor.dtype() == sequence.dtype) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a sequence of ", to_string(sequence.dtype),
                                                 " cannot hold ", to_string(tensor.type())));
}

// Operand `i` as a position in a sequence, from -length on; `last` is its last tensor, or its end.
absl::StatusOr<size_t> position(NodeView& n, int i, const Sequence& sequence, int64_t last) {
  MODELLIB_ASSIGN_OR_RETURN(const int64_t given, n.known_integer(i));
  const int64_t length = length_of(sequence);
  if (given < -length || given > last) {
    return absl::InvalidArgumentError(
        absl::StrCat("position ", given, " in a sequence of ", length, " tensors"));
  }
  return static_cast<size_t>(given < 0 ? given + length : given);
}

absl::StatusOr<Values> construct(NodeView& n) {
  Sequence sequence{n.in(0).dtype(), {}};
  for (const Value& v : n.all()) {
    if (v.is_null()) return absl::InvalidArgumentError("an operand is absent");
    MODELLIB_RETURN_IF_ERROR(check_type(sequence, v));
    sequence.tensors.push_back(v);
  }
  return give(n, std::move(sequence));
}

absl::StatusOr<Values> empty(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype,
                            dtype_of_onnx(n.integer("dtype", onnx_proto::TensorProto::FLOAT)));
  return give(n, Sequence{dtype, {}});
}

absl::StatusOr<Values> at(NodeView& n) {
  const Item item = n.item(0);
  const Sequence& sequence = *item.sequence();
  MODELLIB_ASSIGN_OR_RETURN(const size_t place, position(n, 1, sequence, length_of(sequence) - 1));
  return Values{sequence.tensors[place]};
}

absl::StatusOr<Values> insert(NodeView& n) {
  const Item item = n.item(0);
  const Sequence& from = *item.sequence();
  if (!n.has(1)) return absl::InvalidArgumentError("operand 1 must be a tensor");
  MODELLIB_RETURN_IF_ERROR(check_type(from, n.in(1)));
  size_t place = from.tensors.size();
  if (n.has(2)) {
    MODELLIB_ASSIGN_OR_RETURN(place, position(n, 2, from, length_of(from)));
  }
  Sequence sequence = from;
  sequence.tensors.insert(sequence.tensors.begin() + static_cast<std::ptrdiff_t>(place), n.in(1));
  return give(n, std::move(sequence));
}

absl::StatusOr<Values> erase(NodeView& n) {
  const Item item = n.item(0);
  Sequence sequence = *item.sequence();
  if (sequence.tensors.empty()) return absl::InvalidArgumentError("the sequence is empty");
  size_t place = sequence.tensors.size() - 1;
  if (n.has(1)) {
    MODELLIB_ASSIGN_OR_RETURN(place, position(n, 1, sequence, length_of(sequence) - 1));
  }
  sequence.tensors.erase(sequence.tensors.begin() + static_cast<std::ptrdiff_t>(place));
  return give(n, std::move(sequence));
}

absl::StatusOr<Values> length(NodeView& n) {
  const int64_t length = length_of(*n.item(0).sequence());
  return Values{n.builder().scalar(static_cast<double>(length), DType::kI64)};
}

absl::StatusOr<Values> join(NodeView& n) {
  const Item item = n.item(0);
  Values tensors = item.sequence()->tensors;
  if (tensors.empty()) return absl::InvalidArgumentError("the sequence is empty");
  if (!n.has_attribute("axis")) return absl::InvalidArgumentError("attribute 'axis' is missing");
  MODELLIB_RETURN_IF_ERROR(n.context().make_room(length_of(*item.sequence())));
  const bool new_axis = n.flag("new_axis", false);
  const int rank = tensors.front().rank() + (new_axis ? 1 : 0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, rank));
  if (new_axis) {
    for (Value& v : tensors) v = unsqueeze(v, {axis});
  }
  return Values{concat(tensors, axis)};
}

// The extents of the pieces: of one each, of a given one each but for the last, or as a list.
absl::StatusOr<Shape> extents_of_pieces(NodeView& n, const Dim& extent) {
  if (n.has(1) && n.in(1).rank() > 0) return n.known_dims(1);
  int64_t each = 1;
  if (n.has(1)) {
    MODELLIB_ASSIGN_OR_RETURN(each, n.known_integer(1));
  }
  if (each < 1) return absl::InvalidArgumentError(absl::StrCat("pieces of extent ", each));
  if (!extent.is_static()) {
    return absl::UnimplementedError(
        absl::StrCat("into how many pieces depends on '", extent.to_string(), "'"));
  }
  if (extent.value() / each >= kLongest) {
    return absl::UnimplementedError(absl::StrCat("more than ", kLongest, " pieces"));
  }
  Shape extents;
  for (int64_t start = 0; start < extent.value(); start += each) {
    extents.emplace_back(std::min(each, extent.value() - start));
  }
  return extents;
}

absl::StatusOr<Values> split(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t axis, n.axis("axis", 0, x.rank()));
  MODELLIB_ASSIGN_OR_RETURN(const Shape extents,
                            extents_of_pieces(n, x.dim(static_cast<int>(axis))));
  MODELLIB_ASSIGN_OR_RETURN(Values pieces, pieces_of(x, axis, extents));
  // With `split` given, keepdims is not looked at.
  if (!n.flag("keepdims", true) && !n.has(1)) {
    for (Value& piece : pieces) piece = squeeze(piece, {axis});
  }
  return give(n, Sequence{x.dtype(), std::move(pieces)});
}

// The body once for the tensors at each place of the sequences; operands that are no sequences are
// the same for all places.
absl::StatusOr<Values> map(NodeView& n) {
  const onnx_proto::GraphProto* body = n.graph("body");
  if (body == nullptr) return absl::InvalidArgumentError("it needs a body");
  const Item first = n.item(0);
  if (first.sequence() == nullptr) {
    return absl::InvalidArgumentError("operand 0 must be a sequence");
  }
  const size_t count = first.tensors().size();
  for (int i = 1; i < n.inputs(); ++i) {
    const Item item = n.item(i);
    if (item.is_nothing()) {
      return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is missing"));
    }
    if (item.sequence() != nullptr && item.tensors().size() != count) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequences of ", count, " and of ", item.tensors().size(), " tensors"));
    }
  }
  std::vector<Sequence> results;
  if (count == 0) {
    for (const auto& output : body->output()) {
      MODELLIB_ASSIGN_OR_RETURN(const DType dtype,
                                dtype_of_onnx(output.type().tensor_type().elem_type()));
      results.push_back({dtype, {}});
    }
  }
  for (size_t place = 0; place < count; ++place) {
    Items operands;
    for (int i = 0; i < n.inputs(); ++i) {
      const Item item = n.item(i);
      operands.push_back(item.sequence() == nullptr ? item : Item(item.tensors()[place]));
    }
    MODELLIB_ASSIGN_OR_RETURN(const Items outputs, n.context().body(*body, n.builder(), operands));
    results.resize(outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Value& tensor = outputs[i].tensor();
      if (tensor.is_null()) return absl::InvalidArgumentError("its body must give tensors");
      if (place == 0) results[i].dtype = tensor.dtype();
      MODELLIB_RETURN_IF_ERROR(check_type(results[i], tensor));
      results[i].tensors.push_back(tensor);
    }
  }
  n.give(Items(results.begin(), results.end()));
  return Values{};
}

absl::StatusOr<Values> optional(NodeView& n) {
  n.give({n.item(0)});
  return Values{};
}

absl::StatusOr<Values> has_element(NodeView& n) {
  return Values{n.builder().scalar(n.item(0).is_nothing() ? 0 : 1, DType::kBool)};
}

absl::StatusOr<Values> get_element(NodeView& n) {
  if (n.item(0).is_nothing()) return absl::InvalidArgumentError("the optional is empty");
  n.give({n.item(0)});
  return Values{};
}

constexpr OpEntry kEntries[] = {
    {"ConcatFromSequence", 11, kNow, 1, 1, Takes::kSequence, join},
    {"Optional", 15, kNow, 0, 1, Takes::kItem, optional},
    {"OptionalGetElement", 15, kNow, 0, 1, Takes::kItem, get_element},
    {"OptionalHasElement", 15, kNow, 0, 1, Takes::kItem, has_element},
    {"SequenceAt", 11, kNow, 2, 2, Takes::kSequence, at},
    {"SequenceConstruct", 11, kNow, 1, kMany, Takes::kAny, construct},
    {"SequenceEmpty", 11, kNow, 0, 0, Takes::kAny, empty},
    {"SequenceErase", 11, kNow, 1, 2, Takes::kSequence, erase},
    {"SequenceInsert", 11, kNow, 2, 3, Takes::kSequence, insert},
    {"SequenceLength", 11, kNow, 1, 1, Takes::kSequence, length},
    {"SequenceMap", 17, kNow, 1, kMany, Takes::kItem, map},
    {"SplitToSequence", 11, kNow, 1, 2, Takes::kAny, split},
};

}  // namespace

absl::Span<const OpEntry> sequence_entries() { return kEntries; }

}  // namespace modellib::onnx
