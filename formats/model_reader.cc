#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/formats/model_generated.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/assemble.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

namespace fb = model_fb;

constexpr int kMaxDepth = 32;
constexpr size_t kMaxRank = 64;

absl::Status invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("native model: ", what));
}

class Decoder {
 public:
  Decoder(const Container& container, const OpRegistry& registry)
      : container_(container), registry_(registry), budget_(container.metadata().size()) {
    for (size_t i = 0; i < container.segment_count(); ++i) {
      tensor_budget_ += container.segment_info(i).bytes;
    }
  }

  absl::StatusOr<Model> model(const fb::Model& in) {
    Model out;
    for (size_t i = 0; i < size_of(in.entries()); ++i) {
      const auto* entry = in.entries()->Get(static_cast<uint32_t>(i));
      if (entry->graph() == nullptr) return invalid("an entry without a graph");
      MODELLIB_RETURN_IF_ERROR(find_ops(*entry->graph(), 0));
    }
    if (!missing_.empty()) {
      return absl::UnimplementedError(absl::StrCat("the model uses ops that are not registered: ",
                                                   absl::StrJoin(missing_, ", ")));
    }
    MODELLIB_RETURN_IF_ERROR(tensors(in, out));
    MODELLIB_RETURN_IF_ERROR(variables(in, out));
    for (size_t i = 0; i < size_of(in.entries()); ++i) {
      const auto* entry = in.entries()->Get(static_cast<uint32_t>(i));
      MODELLIB_ASSIGN_OR_RETURN(std::string name, text(entry->name()));
      MODELLIB_ASSIGN_OR_RETURN(GraphRef g, graph(*entry->graph(), 0));
      out.program.entries.push_back({std::move(name), std::move(g)});
    }
    MODELLIB_RETURN_IF_ERROR(out.program.verify());
    out.tensors = std::move(tensors_);
    return out;
  }

 private:
  template <class Vector>
  static size_t size_of(const Vector* vector) {
    return vector == nullptr ? 0 : vector->size();
  }

  // Parts of hostile metadata may be named again and again; honest metadata is as large as all
  // that it says. So what is decoded may not exceed its size.
  absl::Status spend(size_t bytes) {
    if (bytes > budget_) return invalid("parts of the metadata are used more than once");
    budget_ -= bytes;
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> text(const flatbuffers::String* in) {
    if (in == nullptr) return std::string();
    MODELLIB_RETURN_IF_ERROR(spend(in->size()));
    return in->str();
  }
  template <class T>
  absl::StatusOr<std::vector<T>> numbers(const flatbuffers::Vector<T>* in) {
    MODELLIB_RETURN_IF_ERROR(spend(size_of(in) * sizeof(T)));
    if (in == nullptr) return std::vector<T>();
    // FlatBuffers does not check it, and reading elsewhere is undefined.
    if (reinterpret_cast<uintptr_t>(in->Data()) % alignof(T) != 0) {
      return invalid("numbers that are not aligned");
    }
    return std::vector<T>(in->begin(), in->end());
  }

  absl::StatusOr<Dim> dim(const flatbuffers::String* in) {
    MODELLIB_ASSIGN_OR_RETURN(const std::string expression, text(in));
    return parse_dim(expression);
  }

  static absl::StatusOr<DType> dtype(int64_t number) {
    if (number < 0 || number >= kDTypeCount) {
      return invalid(absl::StrCat("unknown element type ", number));
    }
    return static_cast<DType>(number);
  }

  absl::StatusOr<TensorType> type(const fb::Type* in) {
    if (in == nullptr) return invalid("a type is missing");
    TensorType out;
    MODELLIB_ASSIGN_OR_RETURN(out.dtype, dtype(in->dtype()));
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<int64_t> extents, numbers(in->extents()));
    const auto* expressions = in->expressions();
    const bool symbolic = size_of(expressions) != 0;
    if (extents.size() > kMaxRank || (symbolic && expressions->size() != extents.size())) {
      return invalid("a type whose dimensions don't fit");
    }
    for (size_t i = 0; i < extents.size(); ++i) {
      const auto* expression = symbolic ? expressions->Get(static_cast<uint32_t>(i)) : nullptr;
      if (expression == nullptr || expression->size() == 0) {
        out.shape.push_back(extents[i]);
        continue;
      }
      MODELLIB_ASSIGN_OR_RETURN(Dim d, dim(expression));
      out.shape.push_back(std::move(d));
    }
    const absl::Status sound = check_shape(out.shape);
    if (!sound.ok()) return invalid(sound.message());
    return out;
  }

  absl::Status tensors(const fb::Model& in, Model& out) {
    for (size_t i = 0; i < size_of(in.tensors()); ++i) {
      const auto* t = in.tensors()->Get(static_cast<uint32_t>(i));
      MODELLIB_ASSIGN_OR_RETURN(const DType type, dtype(t->dtype()));
      MODELLIB_ASSIGN_OR_RETURN(const std::vector<int64_t> extents, numbers(t->extents()));
      MODELLIB_ASSIGN_OR_RETURN(const SharedBytes segment, container_.segment(t->segment()));
      const uint64_t size = segment.bytes.size();
      if (extents.size() > kMaxRank || t->offset() % 64 != 0 || t->offset() > size ||
          t->bytes() > size - t->offset()) {
        return invalid(absl::StrCat("tensor ", i, " does not lie in its segment"));
      }
      // Honest files hold each content once: looking at all tensors reads no more than the file.
      if (t->bytes() > tensor_budget_) return invalid("tensors share their bytes");
      tensor_budget_ -= t->bytes();
      absl::StatusOr<Tensor> tensor =
          Tensor::borrowed(type, extents, segment.bytes.data() + t->offset(),
                           static_cast<size_t>(t->bytes()), segment.owner);
      if (!tensor.ok()) return invalid(tensor.status().message());
      if (!container_.trusted() && type == DType::kBool) {
        for (int64_t e = 0; e < tensor->elements(); ++e) {
          if (std::to_integer<int>(tensor->data()[e]) > 1) return invalid("a bool beyond 0 and 1");
        }
      }
      tensors_.push_back(*std::move(tensor));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Tensor> tensor(int64_t index) const {
    if (index < 0 || static_cast<size_t>(index) >= tensors_.size()) {
      return invalid(absl::StrCat("no tensor ", index));
    }
    return tensors_[static_cast<size_t>(index)];
  }

  absl::Status variables(const fb::Model& in, Model& out) {
    for (size_t i = 0; i < size_of(in.variables()); ++i) {
      const auto* v = in.variables()->Get(static_cast<uint32_t>(i));
      auto variable = std::make_shared<Variable>();
      MODELLIB_ASSIGN_OR_RETURN(variable->name, text(v->name()));
      MODELLIB_ASSIGN_OR_RETURN(variable->type, type(v->type()));
      if (v->kind() > static_cast<uint8_t>(Variable::Kind::kShard)) {
        return invalid(absl::StrCat("variable '", variable->name, "' is of an unknown kind"));
      }
      variable->kind = static_cast<Variable::Kind>(v->kind());
      if (v->content() >= 0) {
        MODELLIB_ASSIGN_OR_RETURN(Tensor content, tensor(v->content()));
        if (!(TensorType{content.dtype(), Shape(content.shape().begin(), content.shape().end())} ==
              variable->type)) {
          return invalid(absl::StrCat("the content of '", variable->name, "' is of another type"));
        }
        out.variables[variable->name] = std::move(content);
      }
      variables_.push_back(std::move(variable));
    }
    return absl::OkStatus();
  }

  // Collects ops that are not registered.
  absl::Status find_ops(const fb::Graph& g, int depth) {
    if (depth > kMaxDepth) return invalid("regions are nested too deeply");
    for (size_t n = 0; n < size_of(g.nodes()); ++n) {
      const auto* node = g.nodes()->Get(static_cast<uint32_t>(n));
      const std::string op = node->op() == nullptr ? "" : node->op()->str();
      if (registry_.find(op) == nullptr) missing_.insert(op);
      for (size_t a = 0; a < size_of(node->attributes()); ++a) {
        const auto* region = node->attributes()->Get(static_cast<uint32_t>(a))->graph();
        if (region != nullptr) MODELLIB_RETURN_IF_ERROR(find_ops(*region, depth + 1));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<AttributeValue> attribute(const fb::Attribute& in, int depth) {
    switch (in.kind()) {
      case fb::AttributeKind::kBool:
        return AttributeValue(in.integer() != 0);
      case fb::AttributeKind::kInt:
        return AttributeValue(static_cast<int64_t>(in.integer()));
      case fb::AttributeKind::kFloat:
        return AttributeValue(in.number());
      case fb::AttributeKind::kString:
        return text(in.text());
      case fb::AttributeKind::kDType:
        return dtype(in.integer());
      case fb::AttributeKind::kIntList:
        return numbers(in.integers());
      case fb::AttributeKind::kFloatList:
        return numbers(in.numbers());
      case fb::AttributeKind::kShape: {
        Shape shape;
        for (size_t i = 0; i < size_of(in.expressions()); ++i) {
          MODELLIB_ASSIGN_OR_RETURN(Dim d, dim(in.expressions()->Get(static_cast<uint32_t>(i))));
          shape.push_back(std::move(d));
        }
        return AttributeValue(std::move(shape));
      }
      case fb::AttributeKind::kTensor:
        if (in.integer() == -1) return AttributeValue(Tensor());
        return tensor(in.integer());
      case fb::AttributeKind::kGraph:
        if (in.graph() == nullptr) return AttributeValue(GraphRef());
        return graph(*in.graph(), depth + 1);
    }
    return invalid("an attribute of an unknown kind");
  }

  absl::StatusOr<Graph::Node> node(const fb::Node& in, int depth) {
    Graph::Node node;
    MODELLIB_ASSIGN_OR_RETURN(const std::string op, text(in.op()));
    node.op = registry_.find(op);
    MODELLIB_ASSIGN_OR_RETURN(node.inputs, numbers(in.inputs()));
    node.scope = static_cast<int>(in.scope());
    node.num_outputs = static_cast<int>(in.outputs());
    AttributeList list;
    for (size_t a = 0; a < size_of(in.attributes()); ++a) {
      const auto* attribute = in.attributes()->Get(static_cast<uint32_t>(a));
      MODELLIB_ASSIGN_OR_RETURN(std::string name, text(attribute->name()));
      MODELLIB_ASSIGN_OR_RETURN(AttributeValue value, this->attribute(*attribute, depth));
      list.emplace_back(std::move(name), std::move(value));
    }
    if (node.op->attributes.parse == nullptr) {
      if (!list.empty()) return invalid(absl::StrCat(op, " has no attributes"));
      return node;
    }
    absl::StatusOr<Attributes> attributes = node.op->attributes.parse(list);
    if (!attributes.ok()) return invalid(absl::StrCat(op, ": ", attributes.status().message()));
    node.attributes = *std::move(attributes);
    return node;
  }

  absl::StatusOr<GraphRef> graph(const fb::Graph& in, int depth) {
    if (depth > kMaxDepth) return invalid("regions are nested too deeply");
    GraphParts parts;
    MODELLIB_ASSIGN_OR_RETURN(parts.name, text(in.name()));
    for (size_t i = 0; i < size_of(in.values()); ++i) {
      const auto* value = in.values()->Get(static_cast<uint32_t>(i));
      Graph::ValueInfo info;
      MODELLIB_ASSIGN_OR_RETURN(info.type, type(value->type()));
      MODELLIB_ASSIGN_OR_RETURN(info.name, text(value->name()));
      parts.values.push_back(std::move(info));
    }
    MODELLIB_ASSIGN_OR_RETURN(parts.inputs, numbers(in.inputs()));
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<int32_t> firsts, numbers(in.first_outputs()));
    if (firsts.size() != size_of(in.nodes())) return invalid("nodes without outputs' places");
    for (size_t n = 0; n < firsts.size(); ++n) {
      MODELLIB_ASSIGN_OR_RETURN(Graph::Node node,
                                this->node(*in.nodes()->Get(static_cast<uint32_t>(n)), depth));
      node.first_output = firsts[n];
      const auto values = static_cast<int64_t>(parts.values.size());
      if (node.first_output < 0 || node.num_outputs < 0 ||
          node.first_output + int64_t{node.num_outputs} > values) {
        return invalid(absl::StrCat("outputs of node ", n, " are none of the values"));
      }
      for (int i = 0; i < node.num_outputs; ++i) {
        Graph::ValueInfo& info = parts.values[static_cast<size_t>(node.output(i))];
        if (info.producer != -1) return invalid("two nodes define one value");
        info.producer = static_cast<NodeId>(n);
        info.output_index = i;
      }
      parts.nodes.push_back(std::move(node));
    }
    for (size_t i = 0; i < size_of(in.variables()); ++i) {
      const auto* use = in.variables()->Get(static_cast<uint32_t>(i));
      if (use->variable() >= variables_.size()) return invalid("no such variable");
      parts.variables.push_back({variables_[use->variable()], use->value(), use->assigned()});
    }
    for (size_t i = 0; i < size_of(in.outputs()); ++i) {
      const auto* output = in.outputs()->Get(static_cast<uint32_t>(i));
      MODELLIB_ASSIGN_OR_RETURN(std::string name, text(output->name()));
      parts.outputs.push_back({std::move(name), output->value()});
    }
    parts.scopes.clear();
    for (size_t i = 0; i < size_of(in.scopes()); ++i) {
      MODELLIB_ASSIGN_OR_RETURN(std::string s, text(in.scopes()->Get(static_cast<uint32_t>(i))));
      parts.scopes.push_back(std::move(s));
    }
    if (parts.scopes.empty() || !parts.scopes[0].empty()) return invalid("no outermost scope");
    for (size_t i = 0; i < size_of(in.constraints()); ++i) {
      const auto* c = in.constraints()->Get(static_cast<uint32_t>(i));
      MODELLIB_ASSIGN_OR_RETURN(Dim left, dim(c->left()));
      MODELLIB_ASSIGN_OR_RETURN(Dim right, dim(c->right()));
      MODELLIB_ASSIGN_OR_RETURN(std::string reason, text(c->reason()));
      parts.constraints.push_back({std::move(left), std::move(right), std::move(reason)});
    }
    for (size_t i = 0; i < size_of(in.ranges()); ++i) {
      const auto* r = in.ranges()->Get(static_cast<uint32_t>(i));
      MODELLIB_ASSIGN_OR_RETURN(std::string symbol, text(r->symbol()));
      if (r->min() > r->max()) return invalid("an empty range of a dimension");
      parts.ranges[symbol] = {r->min(), r->max()};
    }
    absl::StatusOr<GraphRef> graph = assemble(std::move(parts));
    if (!graph.ok()) return invalid(graph.status().message());
    return graph;
  }

  const Container& container_;
  const OpRegistry& registry_;
  size_t budget_;
  uint64_t tensor_budget_ = 0;  // what all tensors may take: as much as the segments
  std::set<std::string> missing_;
  std::vector<Tensor> tensors_;
  std::vector<VariableRef> variables_;
};

}  // namespace

absl::StatusOr<Model> read_model(const Container& container, const OpRegistry& registry) {
  if (container.kind() != ContainerKind::kModel) {
    return invalid(absl::StrCat("the file is a ", to_string(container.kind())));
  }
  const absl::Span<const std::byte> bytes = container.metadata();
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  if (bytes.size() < 8 || bytes.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) {
    return invalid("metadata of an impossible size");
  }
  // A region costs three levels. Tables that are named twice are counted twice: see Decoder::spend.
  flatbuffers::Verifier verifier(data, bytes.size(), 3 * kMaxDepth + 8,
                                 static_cast<flatbuffers::uoffset_t>(bytes.size() / 4 + 1));
  if (!fb::VerifyModelBuffer(verifier)) return invalid("broken metadata");
  const fb::Model& model = *fb::GetModel(data);
  if (model.version() != fb::FormatVersion::kCurrent) {
    return absl::FailedPreconditionError(absl::StrCat(
        "native model of format version ", static_cast<uint32_t>(model.version()),
        "; this library reads version ", static_cast<uint32_t>(fb::FormatVersion::kCurrent)));
  }
  return Decoder(container, registry).model(model);
}

absl::StatusOr<Model> read_model(const std::string& path, const OpRegistry& registry,
                                 const ContainerOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const auto container, Container::open(path, options));
  absl::StatusOr<Model> model = read_model(*container, registry);
  if (!model.ok()) {
    return absl::Status(model.status().code(), absl::StrCat(path, ": ", model.status().message()));
  }
  return model;
}

}  // namespace modellib
