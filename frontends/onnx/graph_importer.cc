#include "modellib/frontends/onnx/graph_importer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/input_types.h"
#include "modellib/frontends/onnx/item.h"
#include "modellib/frontends/onnx/model_parts.h"
#include "modellib/frontends/onnx/node_view.h"
#include "modellib/frontends/onnx/numbers.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/frontends/onnx/scopes.h"
#include "modellib/frontends/onnx/tensor_store.h"
#include "modellib/frontends/onnx/unsupported.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {
namespace {

using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::ModelProto;
using onnx_proto::NodeProto;

// Models with functions can describe graphs that are exponentially larger than they are.
constexpr int64_t kMostNodes = 1'000'000;
constexpr int kDeepest = 64;
// Likewise of sequences: tensors in all that nodes give.
constexpr int64_t kMostInSequences = 4'000'000;
// Numbers in constants that conversions make up, and operands that they list.
constexpr int64_t kMostMadeUp = int64_t{1} << 24;

// What comes out of a part that is not supported. The part itself has been listed.
absl::Status inside_is_unsupported() {
  return absl::CancelledError("a node inside is not supported");
}

// The label of the attribute that a subgraph is; one that a function's node takes from the call is
// named by the graph.
std::string attribute_of(const NodeProto& node, const GraphProto& graph) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g() && &attribute.g() == &graph) return label(attribute);
  }
  return absl::StrCat("graph '", graph.name(), "'");
}

// What no conversion needs to look at again.
absl::Status check_extents(const Shape& shape) {
  for (const Dim& d : shape) {
    if (!is_modest(d)) return absl::UnimplementedError("the extents are too complicated");
    if (!d.is_static()) continue;
    if (d.value() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("its result would have the shape ", to_string(shape)));
    }
    if (d.value() > kMostExtent) {
      return absl::UnimplementedError(
          absl::StrCat("an extent of ", d.value(), "; supported are those up to ", kMostExtent));
    }
  }
  return absl::OkStatus();
}

// The name among the graph's of one tensor of a sequence.
std::string element_name(const std::string& name, size_t i) {
  return absl::StrCat(name, "[", i, "]");
}

// Unimplemented if the entry does not take operand 0, InvalidArgument if an operand is no tensor
// and must be one.
absl::Status check_operands(const OpEntry& entry, const Items& operands) {
  if (entry.takes == Takes::kItem) return absl::OkStatus();
  for (size_t i = 0; i < operands.size(); ++i) {
    const bool is_sequence = operands[i].sequence() != nullptr;
    if (i == 0 && entry.takes == Takes::kSequence) {
      if (!is_sequence) return absl::InvalidArgumentError("operand 0 must be a sequence");
    } else if (is_sequence) {
      return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is a sequence"));
    }
  }
  if (entry.min_inputs == 0 || entry.takes == Takes::kSequence) return absl::OkStatus();
  const Value& first = operands[0].tensor();
  if (takes(entry.takes, first.dtype())) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("operand 0 is ", to_string(first.type()),
                                               "; supported are ", to_string(entry.takes)));
}

class GraphImporter final : public ImportContext {
 public:
  GraphImporter(const ModelProto& model, TensorStore& tensors, const OpRegistry& registry,
                const DimRanges& ranges, const ImportOptions& options)
      : model_(&model),
        functions_(model),
        tensors_(tensors),
        ranges_(ranges),
        options_(options),
        constants_(constants_of(model.graph(), options.overridden)),
        builder_(registry, "main") {}

  absl::StatusOr<ImportedGraph> run();

  Contents& contents() override { return contents_; }
  absl::StatusOr<Tensor> tensor(const onnx_proto::TensorProto& proto) override {
    return tensors_.take(proto);
  }
  absl::StatusOr<Tensor> tensor(const onnx_proto::SparseTensorProto& proto) override {
    return tensors_.take(proto);
  }
  absl::StatusOr<Items> body(const GraphProto& graph, GraphBuilder& builder,
                             absl::Span<const Item> inputs) override;
  void leave_out(const GraphProto& graph) override { unsupported_.leave_out(graph); }
  absl::Status make_room(int64_t numbers) override;
  DimRange range_of(const Dim& dim) override { return dim.range(builder_.so_far().ranges()); }

 private:
  // How far a node got. What is not supported has been listed.
  enum class Outcome { kDone, kUnsupported };
  // Where the import is: a node and the scope it stands in.
  struct Site {
    const NodeProto* node = nullptr;
    Scope* scope = nullptr;
  };

  absl::Status at(absl::string_view where, const absl::Status& status) const;
  absl::Status check_model() const;
  bool is_overridden(const GraphProto& graph, const std::string& name) const;
  absl::Status add_initializers(const GraphProto& graph, Scope& scope);
  absl::Status add_constant(const google::protobuf::MessageLite& part, const std::string& where,
                            const std::string& name, absl::StatusOr<Tensor> content, Scope& scope);
  absl::Status add_inputs(const GraphProto& graph, Scope& scope);
  absl::StatusOr<Item> input_of(const onnx_proto::ValueInfoProto& info, SymbolNames& symbols);
  Value add_input(const std::string& name, TensorType type);
  void add_output(const onnx_proto::ValueInfoProto& info, const Item& item);
  template <class Nodes>
  absl::Status add_nodes(const Nodes& nodes, Scope& scope);
  absl::StatusOr<Outcome> add_node(const NodeProto& node, Scope& scope);
  absl::StatusOr<Items> convert(const OpEntry& entry, const NodeProto& node, int version,
                                Items operands, Scope& scope);
  absl::StatusOr<Items> call(const FunctionProto& function, const NodeProto& node,
                             const Items& operands, const Scope& caller);
  Outcome report(const google::protobuf::MessageLite& part, absl::string_view why);
  // Reads it: what is missing then is not supported.
  absl::StatusOr<Item> item_of(const std::string& name, Scope& scope);
  // The items of these names, as outputs of the graph or function that `scope` is of; nothing for
  // "".
  absl::StatusOr<Items> outputs_of(const std::vector<std::string>& names, Scope& scope);
  // Counts what a node gives.
  bool has_room_for(const Items& items);

  const ModelProto* const model_;
  const Functions functions_;
  TensorStore& tensors_;
  const DimRanges& ranges_;
  const ImportOptions& options_;
  // Initializers of the whole graph that are no overridden defaults.
  const absl::flat_hash_set<std::string> constants_;
  GraphBuilder builder_;
  Contents contents_;
  Site site_;  // of the node that is converted
  int64_t nodes_ = 0;
  int64_t in_sequences_ = 0;
  int64_t made_up_ = 0;
  int depth_ = 0;
  Unsupported unsupported_;
  Signature signature_;
  absl::Status placed_;  // an error whose message needs no more places before it
};

absl::Status GraphImporter::at(absl::string_view where, const absl::Status& status) const {
  if (status == placed_) return status;
  return absl::Status(status.code(), absl::StrCat(where, ": ", status.message()));
}

absl::Status GraphImporter::check_model() const {
  if (model_->ir_version() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("no ONNX model: ir_version is ", model_->ir_version()));
  }
  if (model_->ir_version() > onnx_proto::IR_VERSION) {
    return absl::UnimplementedError(absl::StrCat("it has IR version ", model_->ir_version(),
                                                 "; supported are those up to ",
                                                 static_cast<int>(onnx_proto::IR_VERSION)));
  }
  if (!model_->has_graph()) return absl::InvalidArgumentError("no ONNX model: it has no graph");
  if (model_->opset_import().empty()) {
    return absl::InvalidArgumentError("it imports no operator set (opset_import)");
  }
  return absl::OkStatus();
}

bool GraphImporter::is_overridden(const GraphProto& graph, const std::string& name) const {
  return &graph == &model_->graph() && !constants_.contains(name);
}

absl::Status GraphImporter::add_initializers(const GraphProto& graph, Scope& scope) {
  for (int i = 0; i < graph.initializer_size(); ++i) {
    const auto& proto = graph.initializer(i);
    if (is_overridden(graph, proto.name())) continue;
    MODELLIB_RETURN_IF_ERROR(add_constant(proto, label("initializer", i, proto.name()),
                                          proto.name(), tensors_.take(proto), scope));
  }
  for (int i = 0; i < graph.sparse_initializer_size(); ++i) {
    const auto& proto = graph.sparse_initializer(i);
    const std::string& name = proto.values().name();
    if (is_overridden(graph, name)) continue;
    MODELLIB_RETURN_IF_ERROR(add_constant(proto, label("sparse initializer", i, name), name,
                                          tensors_.take(proto), scope));
  }
  return absl::OkStatus();
}

absl::Status GraphImporter::add_constant(const google::protobuf::MessageLite& part,
                                         const std::string& where, const std::string& name,
                                         absl::StatusOr<Tensor> content, Scope& scope) {
  Value value;
  absl::Status status = content.status();
  if (status.ok()) {
    status = check_extents(Shape(content->shape().begin(), content->shape().end()));
  }
  if (status.ok()) {
    value = scope.builder().constant(*std::move(content));
  } else if (absl::IsUnimplemented(status)) {
    report(part, status.message());
  } else {
    return at(where, status);
  }
  if (scope.define(name, value)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(where, ": the name is taken"));
}

absl::Status GraphImporter::add_inputs(const GraphProto& graph, Scope& scope) {
  SymbolNames symbols;
  for (int i = 0; i < graph.input_size(); ++i) {
    const auto& input = graph.input(i);
    // Until IR version 4 each initializer stood among the inputs: a default, taken as constant.
    if (constants_.contains(input.name())) continue;
    const std::string where = label("input", i, input.name());
    absl::StatusOr<Item> item = input_of(input, symbols);
    if (absl::IsUnimplemented(item.status())) {
      report(input, item.status().message());
      item = Item();
    }
    if (!item.ok()) return at(where, item.status());
    if (!scope.define(input.name(), *std::move(item))) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": the name is taken"));
    }
  }
  return builder_.status();
}

absl::StatusOr<Item> GraphImporter::input_of(const onnx_proto::ValueInfoProto& info,
                                             SymbolNames& symbols) {
  MODELLIB_ASSIGN_OR_RETURN(const ModelInput declared, declared_input(info, symbols));
  const auto known = options_.input_types.find(info.name());
  const bool is_given = known != options_.input_types.end();
  if (is_given && !known->second.has_value()) {
    signature_.inputs.push_back({info.name(), false, 0, declared.optional});
    if (declared.optional) return Item::nothing();
    return absl::InvalidArgumentError("it is no optional, and is to be empty");
  }
  if (!is_given && declared.sequence) {
    return absl::UnimplementedError(
        "a sequence can be imported only for tensors whose types are given");
  }
  const std::vector<TensorType>* types = is_given ? &*known->second : nullptr;
  const size_t tensors = is_given ? types->size() : 1;
  signature_.inputs.push_back({info.name(), declared.sequence, tensors, declared.optional});
  if (!declared.sequence) {
    if (tensors != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("it holds one tensor, types are given of ", tensors));
    }
    MODELLIB_ASSIGN_OR_RETURN(TensorType type,
                              tensor_type(declared, is_given ? &types->front() : nullptr));
    MODELLIB_RETURN_IF_ERROR(check_extents(type.shape));
    return Item(add_input(info.name(), std::move(type)));
  }
  Sequence sequence{declared.dtype, {}};
  for (size_t i = 0; i < tensors; ++i) {
    MODELLIB_ASSIGN_OR_RETURN(TensorType type, tensor_type(declared, &(*types)[i]));
    MODELLIB_RETURN_IF_ERROR(check_extents(type.shape));
    sequence.tensors.push_back(add_input(element_name(info.name(), i), std::move(type)));
  }
  return Item(std::move(sequence));
}

Value GraphImporter::add_input(const std::string& name, TensorType type) {
  for (const Dim& d : type.shape) {
    if (!d.is_symbol()) continue;
    DimRange range{1, DimRange::kUnbounded};
    if (const auto it = ranges_.find(d.symbol_name()); it != ranges_.end()) {
      range.max = it->second.max;
    }
    builder_.set_range(d.symbol_name(), range);
  }
  const Value value = builder_.input(name, std::move(type));
  const auto known = options_.known_inputs.find(name);
  return known == options_.known_inputs.end() ? value : builder_.constant(known->second);
}

void GraphImporter::add_output(const onnx_proto::ValueInfoProto& info, const Item& item) {
  const std::string& name = info.name();
  const absl::Span<const Value> tensors = item.tensors();
  const bool is_sequence = item.sequence() != nullptr;
  signature_.outputs.push_back(
      {name, is_sequence, tensors.size(), info.type().has_optional_type()});
  for (size_t i = 0; i < tensors.size(); ++i) {
    builder_.output(is_sequence ? element_name(name, i) : name, tensors[i]);
  }
}

absl::StatusOr<Item> GraphImporter::item_of(const std::string& name, Scope& scope) {
  const Item* item = scope.find(name, contents_);
  if (item == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("nothing before it gives the value '", name, "'"));
  }
  if (item->giver() != nullptr) report(*item->giver(), absl::StrCat("its output ", item->output()));
  return *item;
}

bool GraphImporter::has_room_for(const Items& items) {
  int64_t count = 0;
  for (const Item& item : items) {
    if (item.sequence() != nullptr) count += static_cast<int64_t>(item.tensors().size());
  }
  if (count > kMostInSequences - in_sequences_) return false;
  in_sequences_ += count;
  return true;
}

absl::Status GraphImporter::make_room(int64_t numbers) {
  if (numbers > kMostMadeUp - made_up_) {
    return absl::UnimplementedError(absl::StrCat(
        "what it adds to the graph comes, with that of others, to more than ", kMostMadeUp));
  }
  made_up_ += numbers;
  return absl::OkStatus();
}

template <class Nodes>
absl::Status GraphImporter::add_nodes(const Nodes& nodes, Scope& scope) {
  for (int i = 0; i < nodes.size(); ++i) {
    const NodeProto& node = nodes.Get(i);
    const std::string where = label(i, node);
    if (++nodes_ > kMostNodes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(where, ": the model comes to more than ", kMostNodes, " nodes"));
    }
    const GraphBuilder::ScopeOf place(scope.builder(), scope.place_of(where));
    const auto outcome = add_node(node, scope);
    if (!outcome.ok()) {
      // What the builder says names the whole place: its scope.
      if (outcome.status() == scope.builder().status()) placed_ = outcome.status();
      return at(where, outcome.status());
    }
    if (*outcome == Outcome::kDone) continue;
    for (const std::string& name : node.output()) {
      if (!name.empty()) scope.define(name, Item());
    }
  }
  return absl::OkStatus();
}

GraphImporter::Outcome GraphImporter::report(const google::protobuf::MessageLite& part,
                                             absl::string_view why) {
  unsupported_.add(part, why);
  return Outcome::kUnsupported;
}

absl::StatusOr<GraphImporter::Outcome> GraphImporter::add_node(const NodeProto& node,
                                                               Scope& scope) {
  const std::string domain = domain_of(node.domain());
  const FunctionProto* function = functions_.find(node);
  const int version = version_of(node, scope.opsets());
  if (version == 0 && function == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("its domain ", shown_domain(domain), " is not in opset_import"));
  }
  const OpEntry* entry = function == nullptr ? find_op(domain, node.op_type(), version) : nullptr;
  if (function == nullptr && entry == nullptr) return report(node, "");

  Items operands;
  size_t cost = 1;  // of the number of elements of an operand, as an expression
  for (const std::string& name : node.input()) {
    Item item = Item::nothing();
    if (!name.empty()) {
      MODELLIB_ASSIGN_OR_RETURN(item, item_of(name, scope));
      if (!item.is_known()) return Outcome::kUnsupported;  // so is what it comes from
      // Tensors of a sequence count when they are taken out of it.
      size_t own = 1;
      if (!item.tensor().is_null()) {
        for (const Dim& d : item.tensor().shape()) {
          if (!d.is_static()) own = std::min<size_t>(own * d.to_postfix().size(), size_t{1} << 30);
        }
      }
      cost = std::max(cost, own);
    }
    operands.push_back(std::move(item));
  }
  constexpr size_t kMostCost = 1 << 20;
  if (cost > kMostCost) return report(node, "the extents are too complicated");

  auto results = function != nullptr ? call(*function, node, operands, scope)
                                     : convert(*entry, node, version, std::move(operands), scope);
  if (absl::IsCancelled(results.status())) return Outcome::kUnsupported;
  if (absl::IsUnimplemented(results.status())) return report(node, results.status().message());
  if (!results.ok()) return results.status();
  if (!has_room_for(*results)) {
    return report(node, absl::StrCat("its sequences are among those that come to more than ",
                                     kMostInSequences, " tensors"));
  }
  for (int i = 0; i < node.output_size(); ++i) {
    if (node.output(i).empty()) continue;
    const bool given =
        static_cast<size_t>(i) < results->size() && (*results)[static_cast<size_t>(i)].is_known();
    const Item item = given ? (*results)[static_cast<size_t>(i)] : Item::missing(node, i);
    if (!item.tensor().is_null()) scope.builder().set_name(item.tensor(), node.output(i));
    if (!scope.define(node.output(i), item)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the name of its output '", node.output(i), "' is taken"));
    }
  }
  return Outcome::kDone;
}

absl::StatusOr<Items> GraphImporter::convert(const OpEntry& entry, const NodeProto& node,
                                             int version, Items operands, Scope& scope) {
  if (static_cast<int>(operands.size()) > entry.max_inputs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it has ", operands.size(), " operands, at most ", entry.max_inputs, " are expected"));
  }
  for (int i = 0; i < entry.min_inputs; ++i) {
    if (static_cast<size_t>(i) >= operands.size() ||
        operands[static_cast<size_t>(i)].is_nothing()) {
      return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is missing"));
    }
  }
  MODELLIB_RETURN_IF_ERROR(check_operands(entry, operands));
  const Site outer = std::exchange(site_, Site{&node, &scope});
  NodeView view(node, version, scope.builder(), std::move(operands), scope.call(), *this);
  auto values = entry.import(view);
  site_ = outer;
  // Earlier mistakes first: of an attribute, of the conversion, of an op's operands.
  MODELLIB_RETURN_IF_ERROR(view.status());
  if (!values.ok()) return values.status();
  MODELLIB_RETURN_IF_ERROR(scope.builder().status());
  Items results = view.given().value_or(Items(values->begin(), values->end()));
  for (const Item& item : results) {
    for (const Value& v : item.tensors()) MODELLIB_RETURN_IF_ERROR(check_extents(v.shape()));
  }
  return results;
}

absl::StatusOr<Items> GraphImporter::call(const FunctionProto& function, const NodeProto& node,
                                          const Items& operands, const Scope& caller) {
  if (depth_ >= kDeepest) {
    return absl::InvalidArgumentError("functions call each other without end");
  }
  MODELLIB_ASSIGN_OR_RETURN(const Opsets opsets, opsets_of(function.opset_import()));
  if (node.input_size() > function.input_size()) {
    return absl::InvalidArgumentError(absl::StrCat("function ", function.name(), " takes ",
                                                   function.input_size(), " operands, got ",
                                                   node.input_size()));
  }
  NodeView::CallAttributes attributes;
  for (const auto& standard : function.attribute_proto()) attributes[standard.name()] = &standard;
  for (const auto& given : node.attribute()) {
    const auto* source = &given;
    if (!given.ref_attr_name().empty()) {
      if (caller.call() == nullptr) continue;
      const auto it = caller.call()->find(given.ref_attr_name());
      if (it == caller.call()->end()) continue;
      source = it->second;
    }
    attributes[given.name()] = source;
  }
  Scope scope(caller.builder(), nullptr, opsets, &attributes,
              absl::StrCat(caller.builder().current_scope(), " / ", label(function)));
  for (int i = 0; i < function.input_size(); ++i) {
    const auto at = static_cast<size_t>(i);
    scope.define(function.input(i), at < operands.size() ? operands[at] : Item::nothing());
  }
  ++depth_;
  const absl::Status added = add_nodes(function.node(), scope);
  --depth_;
  if (!added.ok()) return at(label(function), added);
  std::vector<std::string> names;
  for (int i = 0; i < function.output_size(); ++i) {
    const bool is_named = i < node.output_size() && !node.output(i).empty();
    names.push_back(is_named ? function.output(i) : "");
  }
  auto results = outputs_of(names, scope);
  if (!results.ok()) return at(label(function), results.status());
  return results;
}

absl::StatusOr<Items> GraphImporter::outputs_of(const std::vector<std::string>& names,
                                                Scope& scope) {
  Items results;
  for (const std::string& name : names) {
    if (name.empty()) {
      results.push_back(Item::nothing());
      continue;
    }
    MODELLIB_ASSIGN_OR_RETURN(Item item, item_of(name, scope));
    if (!item.is_known()) return inside_is_unsupported();
    results.push_back(std::move(item));
  }
  return results;
}

absl::StatusOr<Items> GraphImporter::body(const GraphProto& graph, GraphBuilder& builder,
                                          absl::Span<const Item> inputs) {
  const std::string where = absl::StrCat("graph '", graph.name(), "'");
  if (depth_ >= kDeepest) return absl::InvalidArgumentError("graphs are nested too deeply");
  if (graph.input_size() != static_cast<int>(inputs.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, " takes ", graph.input_size(), " values, expected ", inputs.size()));
  }
  unsupported_.enter(graph);
  const Site outer = site_;
  Scope scope(builder, outer.scope, outer.scope->opsets(), outer.scope->call(),
              absl::StrCat(outer.scope->builder().current_scope(), " / ",
                           attribute_of(*outer.node, graph)));
  for (int i = 0; i < graph.input_size(); ++i) {
    scope.define(graph.input(i).name(), inputs[static_cast<size_t>(i)]);
  }
  ++depth_;
  absl::Status added = add_initializers(graph, scope);
  if (added.ok()) added = add_nodes(graph.node(), scope);
  --depth_;
  site_ = outer;
  if (!added.ok()) return at(where, added);
  std::vector<std::string> names;
  for (const auto& output : graph.output()) names.push_back(output.name());
  auto results = outputs_of(names, scope);
  if (!results.ok()) return at(where, results.status());
  return results;
}

absl::StatusOr<ImportedGraph> GraphImporter::run() {
  MODELLIB_RETURN_IF_ERROR(check_model());
  MODELLIB_ASSIGN_OR_RETURN(const Opsets opsets, opsets_of(model_->opset_import()));
  const GraphProto& graph = model_->graph();
  Scope scope(builder_, nullptr, opsets, nullptr, "");
  MODELLIB_RETURN_IF_ERROR(add_initializers(graph, scope));
  MODELLIB_RETURN_IF_ERROR(add_inputs(graph, scope));
  MODELLIB_RETURN_IF_ERROR(add_nodes(graph.node(), scope));
  std::vector<absl::StatusOr<Item>> outputs;
  for (const auto& output : graph.output()) outputs.push_back(item_of(output.name(), scope));
  if (!unsupported_.empty()) return unsupported_.listed(*model_, functions_, opsets);
  for (int i = 0; i < graph.output_size(); ++i) {
    const std::string where = label("output", i, graph.output(i).name());
    const absl::StatusOr<Item>& item = outputs[static_cast<size_t>(i)];
    if (!item.ok()) return at(where, item.status());
    if (absl::Status s = check_output_type(graph.output(i), *item); !s.ok()) return at(where, s);
    add_output(graph.output(i), *item);
  }
  MODELLIB_ASSIGN_OR_RETURN(GraphRef built, builder_.build());
  return ImportedGraph{std::move(built), std::move(signature_)};
}

}  // namespace

absl::StatusOr<ImportedGraph> import_graph(const ModelProto& model, TensorStore& tensors,
                                           const OpRegistry& registry, const DimRanges& ranges,
                                           const ImportOptions& options) {
  return GraphImporter(model, tensors, registry, ranges, options).run();
}

}  // namespace modellib::onnx
