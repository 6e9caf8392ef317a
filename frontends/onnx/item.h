// What a name of an ONNX model stands for: a tensor, a sequence of tensors, or nothing.
//
// A graph of ours has tensors alone. How many tensors a sequence holds is known while a model is
// imported, so that a sequence is a list of values, and ops on sequences pick from lists. An
// optional is what it holds; one that is empty is nothing, as is an operand that a call leaves out.
#ifndef MODELLIB_FRONTENDS_ONNX_ITEM_H_
#define MODELLIB_FRONTENDS_ONNX_ITEM_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/dtype.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

using Values = std::vector<Value>;

struct Sequence {
  DType dtype = DType::kF32;  // of each tensor
  Values tensors;
};

class Item {
 public:
  // Not known: the node that would give it is not supported.
  Item() = default;
  // A null value: not known.
  // NOLINTNEXTLINE(google-explicit-constructor): most items are tensors
  Item(Value tensor) : tensor_(tensor) {}
  explicit Item(Sequence sequence)
      : sequence_(std::make_shared<const Sequence>(std::move(sequence))) {}
  static Item nothing() {
    Item item;
    item.nothing_ = true;
    return item;
  }
  // Not known, which is no matter until something reads it: an output that the node names, and is
  // not supported to give.
  static Item missing(const onnx_proto::NodeProto& node, int output) {
    Item item;
    item.giver_ = &node;
    item.output_ = output;
    return item;
  }

  bool is_known() const { return nothing_ || sequence_ != nullptr || !tensor_.is_null(); }
  bool is_nothing() const { return nothing_; }
  // Null if it is none.
  const Value& tensor() const { return tensor_; }
  const Sequence* sequence() const { return sequence_.get(); }
  // Of what is missing, the node that should give it as this output; else null.
  const onnx_proto::NodeProto* giver() const { return giver_; }
  int output() const { return output_; }
  // One, those of a sequence, or none.
  absl::Span<const Value> tensors() const {
    if (sequence_ != nullptr) return sequence_->tensors;
    return tensor_.is_null() ? absl::Span<const Value>() : absl::MakeConstSpan(&tensor_, 1);
  }

 private:
  Value tensor_;
  std::shared_ptr<const Sequence> sequence_;
  bool nothing_ = false;
  const onnx_proto::NodeProto* giver_ = nullptr;
  int output_ = 0;
};

using Items = std::vector<Item>;

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_ITEM_H_
