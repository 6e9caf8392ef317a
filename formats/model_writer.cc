#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/container_writer.h"
#include "modellib/formats/model_generated.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

namespace fb = model_fb;

constexpr uint64_t kAlignment = 64;

// The tensors of a model, each content once.
class TensorTable {
 public:
  int32_t add(const Tensor& tensor) {
    std::vector<int32_t>& candidates = by_hash_[tensor.content_hash()];
    for (int32_t i : candidates) {
      if (tensors_[static_cast<size_t>(i)].identical(tensor)) return i;
    }
    candidates.push_back(static_cast<int32_t>(tensors_.size()));
    tensors_.push_back(tensor);
    return candidates.back();
  }

  // Writes all into one segment.
  absl::Status write(ContainerWriter& writer, fb::ModelT& model) const {
    MODELLIB_RETURN_IF_ERROR(writer.begin_segment());
    uint64_t offset = 0;
    const std::vector<std::byte> padding(kAlignment);
    for (const Tensor& tensor : tensors_) {
      auto record = std::make_unique<fb::TensorT>();
      record->dtype = static_cast<uint8_t>(tensor.dtype());
      record->extents = tensor.shape();
      record->offset = offset;
      record->bytes = static_cast<uint64_t>(tensor.bytes());
      record->hash = tensor.content_hash();
      MODELLIB_RETURN_IF_ERROR(writer.append({tensor.data(), static_cast<size_t>(tensor.bytes())}));
      const uint64_t rest = (kAlignment - record->bytes % kAlignment) % kAlignment;
      MODELLIB_RETURN_IF_ERROR(writer.append({padding.data(), static_cast<size_t>(rest)}));
      offset += record->bytes + rest;
      model.tensors.push_back(std::move(record));
    }
    MODELLIB_ASSIGN_OR_RETURN(const uint32_t segment, writer.end_segment());
    for (const auto& record : model.tensors) record->segment = segment;
    return absl::OkStatus();
  }

 private:
  std::vector<Tensor> tensors_;
  absl::flat_hash_map<uint64_t, std::vector<int32_t>> by_hash_;
};

std::vector<std::string> texts(const Shape& shape) {
  std::vector<std::string> out;
  for (const Dim& d : shape) out.push_back(d.to_string());
  return out;
}

std::unique_ptr<fb::TypeT> encode(const TensorType& type) {
  auto out = std::make_unique<fb::TypeT>();
  out->dtype = static_cast<uint8_t>(type.dtype);
  const bool numbers = is_static(type.shape);
  for (const Dim& d : type.shape) {
    out->extents.push_back(d.is_static() ? d.value() : 0);
    if (!numbers) out->expressions.push_back(d.is_static() ? "" : d.to_string());
  }
  return out;
}

class Encoder {
 public:
  explicit Encoder(const std::vector<VariableRef>& variables) {
    for (size_t i = 0; i < variables.size(); ++i) {
      variables_[variables[i]->name] = static_cast<uint32_t>(i);
    }
  }
  TensorTable& tensors() { return tensors_; }

  std::unique_ptr<fb::GraphT> graph(const Graph& g) {
    auto out = std::make_unique<fb::GraphT>();
    out->name = std::string(g.name());
    for (const Graph::ValueInfo& info : g.values()) {
      auto value = std::make_unique<fb::ValueT>();
      value->type = encode(info.type);
      value->name = info.name;
      out->values.push_back(std::move(value));
    }
    out->inputs.assign(g.inputs().begin(), g.inputs().end());
    for (const Graph::Node& node : g.nodes()) {
      auto n = std::make_unique<fb::NodeT>();
      n->op = node.op->name;
      n->inputs.assign(node.inputs.begin(), node.inputs.end());
      n->outputs = static_cast<uint32_t>(node.num_outputs);
      n->scope = static_cast<uint32_t>(node.scope);
      for (const auto& [name, value] : node.attributes.list(/*all=*/true)) {
        n->attributes.push_back(attribute(name, value));
      }
      out->nodes.push_back(std::move(n));
      out->first_outputs.push_back(node.first_output);
    }
    for (const Graph::VariableUse& use : g.variables()) {
      auto u = std::make_unique<fb::VariableUseT>();
      u->variable = variables_.at(use.variable->name);
      u->value = use.value;
      u->assigned = use.assigned;
      out->variables.push_back(std::move(u));
    }
    for (const Graph::Output& output : g.outputs()) {
      auto o = std::make_unique<fb::OutputT>();
      o->name = output.name;
      o->value = output.value;
      out->outputs.push_back(std::move(o));
    }
    out->scopes.assign(g.scopes().begin(), g.scopes().end());
    for (const Graph::Constraint& c : g.constraints()) {
      auto constraint = std::make_unique<fb::ConstraintT>();
      constraint->left = c.left.to_string();
      constraint->right = c.right.to_string();
      constraint->reason = c.reason;
      out->constraints.push_back(std::move(constraint));
    }
    for (const auto& [symbol, range] : g.ranges()) {
      auto r = std::make_unique<fb::RangeT>();
      r->symbol = symbol;
      r->min = range.min;
      r->max = range.max;
      out->ranges.push_back(std::move(r));
    }
    return out;
  }

 private:
  std::unique_ptr<fb::AttributeT> attribute(const std::string& name, const AttributeValue& value) {
    auto out = std::make_unique<fb::AttributeT>();
    out->name = name;
    out->kind = static_cast<fb::AttributeKind>(value.index());
    std::visit([&](const auto& v) { fill(*out, v); }, value);
    return out;
  }
  static void fill(fb::AttributeT& out, bool v) { out.integer = v ? 1 : 0; }
  static void fill(fb::AttributeT& out, int64_t v) { out.integer = v; }
  static void fill(fb::AttributeT& out, double v) { out.number = v; }
  static void fill(fb::AttributeT& out, const std::string& v) { out.text = v; }
  static void fill(fb::AttributeT& out, DType v) { out.integer = static_cast<int64_t>(v); }
  static void fill(fb::AttributeT& out, const std::vector<int64_t>& v) { out.integers = v; }
  static void fill(fb::AttributeT& out, const std::vector<double>& v) { out.numbers = v; }
  static void fill(fb::AttributeT& out, const Shape& v) { out.expressions = texts(v); }
  void fill(fb::AttributeT& out, const Tensor& v) {
    out.integer = v.dtype() == DType::kInvalid ? -1 : tensors_.add(v);
  }
  void fill(fb::AttributeT& out, const GraphRef& v) {
    if (v != nullptr) out.graph = graph(*v);
  }

  absl::flat_hash_map<std::string, uint32_t> variables_;
  TensorTable tensors_;
};

absl::Status write(const Model& model, ContainerWriter& writer) {
  MODELLIB_RETURN_IF_ERROR(model.program.verify());
  const std::vector<VariableRef> variables = model.program.variables();
  Encoder encoder(variables);
  fb::ModelT out;
  out.version = fb::FormatVersion::kCurrent;
  out.producer = "modellib";
  for (const Program::Entry& entry : model.program.entries) {
    auto e = std::make_unique<fb::EntryT>();
    e->name = entry.name;
    e->graph = encoder.graph(*entry.graph);
    out.entries.push_back(std::move(e));
  }
  for (const VariableRef& variable : variables) {
    auto v = std::make_unique<fb::VariableT>();
    v->name = variable->name;
    v->type = encode(variable->type);
    v->kind = static_cast<uint8_t>(variable->kind);
    const auto content = model.variables.find(variable->name);
    if (content != model.variables.end()) {
      const Tensor& t = content->second;
      const TensorType type{t.dtype(), Shape(t.shape().begin(), t.shape().end())};
      if (!(type == variable->type)) {
        return absl::InvalidArgumentError(absl::StrCat("variable '", variable->name, "' is ",
                                                       to_string(variable->type), ", its content ",
                                                       to_string(type)));
      }
      v->content = encoder.tensors().add(t);
    }
    out.variables.push_back(std::move(v));
  }
  for (const auto& [name, content] : model.variables) {
    const bool known = std::any_of(variables.begin(), variables.end(),
                                   [&, &name = name](const auto& v) { return v->name == name; });
    if (!known) {
      return absl::InvalidArgumentError(absl::StrCat("the program has no variable '", name, "'"));
    }
  }
  for (const Tensor& tensor : model.tensors) encoder.tensors().add(tensor);
  MODELLIB_RETURN_IF_ERROR(encoder.tensors().write(writer, out));

  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Model::Pack(builder, &out));
  return writer.finish({reinterpret_cast<const std::byte*>(builder.GetBufferPointer()),
                        static_cast<size_t>(builder.GetSize())});
}

}  // namespace

absl::Status write_model(const Model& model, const std::string& path) {
  MODELLIB_ASSIGN_OR_RETURN(auto writer, ContainerWriter::create(path, ContainerKind::kModel));
  return write(model, *writer);
}

absl::StatusOr<std::vector<std::byte>> model_bytes(const Model& model) {
  const auto writer = ContainerWriter::in_memory(ContainerKind::kModel);
  MODELLIB_RETURN_IF_ERROR(write(model, *writer));
  return std::vector<std::byte>(writer->bytes().begin(), writer->bytes().end());
}

}  // namespace modellib
