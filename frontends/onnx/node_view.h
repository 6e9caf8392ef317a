// One node of an ONNX graph as its conversion sees it: typed attributes with defaults, operands as
// values of the graph under construction, and what those are known to hold.
//
//   absl::StatusOr<Values> convert_flatten(NodeView& n) {
//     const int64_t axis = n.integer("axis", 1);
//     …
//     return Values{reshape(n.in(0), …)};
//   }
//
// A mistake in an attribute is kept and ends the import after the conversion, so that reading one
// needs no plumbing. A conversion returns InvalidArgument where the model is at fault and
// Unimplemented where it is not; the importer adds which node it was. Operands that the table calls
// required are there, and operands are tensors where it does not say otherwise. What a node gives
// that is no tensor, its conversion gives by give().
#ifndef MODELLIB_FRONTENDS_ONNX_NODE_VIEW_H_
#define MODELLIB_FRONTENDS_ONNX_NODE_VIEW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/frontends/onnx/contents.h"
#include "modellib/frontends/onnx/item.h"
#include "modellib/graph/builder.h"
#include "modellib/third_party/onnx/onnx_generated.h"

namespace modellib::onnx {

// What a conversion may ask of the import around it.
class ImportContext {
 public:
  virtual ~ImportContext() = default;
  virtual Contents& contents() = 0;
  virtual absl::StatusOr<Tensor> tensor(const onnx_proto::TensorProto& proto) = 0;
  virtual absl::StatusOr<Tensor> tensor(const onnx_proto::SparseTensorProto& proto) = 0;
  // The outputs of a subgraph, in `builder`: that of the node or of a region in it. `inputs` are
  // for the subgraph's own inputs. Cancelled if something inside it is not supported, which the
  // importer knows.
  virtual absl::StatusOr<Items> body(const onnx_proto::GraphProto& graph, GraphBuilder& builder,
                                     absl::Span<const Item> inputs) = 0;
  // A subgraph of a node that never runs: what it needs does not matter.
  virtual void leave_out(const onnx_proto::GraphProto& graph) = 0;
  // For constants of so many numbers that no file has, or a node of so many operands: a few bytes
  // of a model can ask for any amount. Unimplemented where all of them are too many.
  virtual absl::Status make_room(int64_t numbers) = 0;
  // The range that a symbol was declared to lie in.
  virtual DimRange range_of(const Dim& dim) = 0;
};

class NodeView {
 public:
  // Attributes of a call of a function that its body may refer to.
  using CallAttributes = absl::flat_hash_map<std::string, const onnx_proto::AttributeProto*>;

  NodeView(const onnx_proto::NodeProto& node, int version, GraphBuilder& builder, Items inputs,
           const CallAttributes* call, ImportContext& context);

  absl::string_view op() const { return node_.op_type(); }
  // Of the operator set that the node is written in.
  int version() const { return version_; }
  GraphBuilder& builder() const { return builder_; }
  ImportContext& context() const { return context_; }

  int inputs() const { return static_cast<int>(inputs_.size()); }
  // A tensor is there.
  bool has(int i) const { return !in(i).is_null(); }
  // Null if absent.
  Value in(int i) const { return i < inputs() ? inputs_[static_cast<size_t>(i)] : Value(); }
  const Values& all() const { return inputs_; }
  // Whatever it is; nothing if absent.
  Item item(int i) const { return i < inputs() ? items_[static_cast<size_t>(i)] : Item::nothing(); }
  int outputs() const { return node_.output_size(); }
  bool wants(int i) const { return i < outputs() && !node_.output(i).empty(); }

  // What the node's outputs are, in place of the values that the conversion returns.
  void give(Items outputs) { given_ = std::move(outputs); }
  const std::optional<Items>& given() const { return given_; }

  // Attributes.
  bool has_attribute(absl::string_view name) const { return find(name) != nullptr; }
  int64_t integer(absl::string_view name, int64_t standard);
  bool flag(absl::string_view name, bool standard) { return integer(name, standard ? 1 : 0) != 0; }
  double real(absl::string_view name, double standard);
  std::string text(absl::string_view name, absl::string_view standard);
  std::vector<int64_t> integers(absl::string_view name, std::vector<int64_t> standard = {});
  std::vector<double> reals(absl::string_view name);
  std::vector<std::string> texts(absl::string_view name);
  // Null if absent.
  const onnx_proto::TensorProto* tensor_proto(absl::string_view name);
  const onnx_proto::SparseTensorProto* sparse_tensor_proto(absl::string_view name);
  const onnx_proto::GraphProto* graph(absl::string_view name);
  // The first mistake in an attribute.
  const absl::Status& status() const { return status_; }

  // What an operand is known to hold. The element type is not looked at.
  const std::vector<Number>* contents(int i) { return context_.contents().of(in(i)); }
  // Integers, as numbers or as expressions; Unimplemented if they are not known ahead.
  absl::StatusOr<std::vector<int64_t>> known_integers(int i);
  absl::StatusOr<Shape> known_dims(int i);
  absl::StatusOr<std::vector<double>> known_reals(int i);
  // The one element of an operand.
  absl::StatusOr<int64_t> known_integer(int i);
  absl::StatusOr<Dim> known_dim(int i);
  absl::StatusOr<double> known_real(int i);

  // Axis from the front; InvalidArgument unless -rank <= axis < rank.
  absl::StatusOr<int64_t> axis(absl::string_view name, int64_t standard, int rank);

  // "'axes' (operand 1)": for messages.
  absl::Status unknown_operand(int i) const;

 private:
  const onnx_proto::AttributeProto* find(absl::string_view name) const;
  const onnx_proto::AttributeProto* typed(absl::string_view name,
                                          onnx_proto::AttributeProto::AttributeType type);

  const onnx_proto::NodeProto& node_;
  const int version_;
  GraphBuilder& builder_;
  const Items items_;
  const Values inputs_;  // those of the items that are tensors
  const CallAttributes* const call_;
  ImportContext& context_;
  std::optional<Items> given_;
  absl::Status status_;
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_NODE_VIEW_H_
