#include "modellib/graph/builder.h"

#include <xxhash.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/verifier.h"

namespace modellib {
namespace {

const TensorType& no_type() {
  static const TensorType* const type = new TensorType;
  return *type;
}

uint64_t key_of(const OpDef& op, const Attributes& attributes, absl::Span<const ValueId> inputs) {
  const uint64_t h = reinterpret_cast<uintptr_t>(&op) ^ (attributes.hash() * 0x9e3779b97f4a7c15);
  return XXH3_64bits_withSeed(inputs.data(), inputs.size() * sizeof(ValueId), h);
}

}  // namespace

const TensorType& Value::type() const {
  return is_null() || is_poisoned() ? no_type() : builder_->graph_.type(id_);
}

Dim Value::dim(int axis) const {
  if (is_null() || is_poisoned()) return 0;
  const int i = axis < 0 ? axis + rank() : axis;
  if (i < 0 || i >= rank()) {
    builder_->poison(absl::InvalidArgumentError(
        absl::StrCat("axis ", axis, " of a value of type ", to_string(type()))));
    return 0;
  }
  return shape()[static_cast<size_t>(i)];
}

GraphBuilder::GraphBuilder(const OpRegistry& registry, absl::string_view name)
    : registry_(registry) {
  graph_.name_ = std::string(name);
  scope_index_.emplace("", 0);
}

absl::Status GraphBuilder::in_context(const absl::Status& status, absl::string_view op) const {
  std::string where = absl::StrCat("graph '", graph_.name_, "'");
  if (!current_scope().empty()) absl::StrAppend(&where, ", in ", current_scope());
  if (!op.empty()) absl::StrAppend(&where, ", ", op);
  return absl::Status(status.code(), absl::StrCat(where, ": ", status.message()));
}

Value GraphBuilder::poison(absl::Status status) {
  if (status_.ok()) {
    status_ = in_context(status, "");
  }
  return Value(this, kNoValue);
}

std::vector<Value> GraphBuilder::poisoned_outputs(int count) {
  return std::vector<Value>(static_cast<size_t>(std::max(count, 1)), Value(this, kNoValue));
}

Value GraphBuilder::input(absl::string_view name, TensorType type) {
  if (input_index_.contains(std::string(name))) {
    return poison(absl::AlreadyExistsError(absl::StrCat("input '", name, "' exists")));
  }
  if (absl::Status s = check_shape(type.shape); !s.ok()) {
    return poison(absl::InvalidArgumentError(absl::StrCat("input '", name, "': ", s.message())));
  }
  const auto id = static_cast<ValueId>(graph_.values_.size());
  input_index_.emplace(std::string(name), static_cast<int>(graph_.inputs_.size()));
  graph_.values_.push_back({std::move(type), -1, 0, std::string(name)});
  graph_.inputs_.push_back(id);
  return Value(this, id);
}

Graph::VariableUse* GraphBuilder::use_of(const Variable& variable) {
  const auto refuse = [&](const std::string& what) {
    poison(absl::InvalidArgumentError(absl::StrCat("variable '", variable.name, "' ", what)));
    return nullptr;
  };
  const auto known = variable_index_.find(variable.name);
  if (known == variable_index_.end()) {
    if (!is_static(variable.type.shape)) {
      return refuse(absl::StrCat("of type ", to_string(variable.type), " has a free dimension"));
    }
    if (absl::Status s = check_shape(variable.type.shape); !s.ok()) {
      return refuse(absl::StrCat("of type ", to_string(variable.type), ": ", s.message()));
    }
    variable_index_.emplace(variable.name, static_cast<int>(graph_.variables_.size()));
    graph_.variables_.push_back({std::make_shared<const Variable>(variable), kNoValue, kNoValue});
    return &graph_.variables_.back();
  }
  Graph::VariableUse& use = graph_.variables_[static_cast<size_t>(known->second)];
  if (!(*use.variable == variable)) {
    return refuse(absl::StrCat("is ", to_string(use.variable->type), " ",
                               to_string(use.variable->kind), " elsewhere, here ",
                               to_string(variable.type), " ", to_string(variable.kind)));
  }
  return &use;
}

Value GraphBuilder::variable(const Variable& variable) {
  if (parent_ != nullptr) return captured(parent_->variable(variable));
  Graph::VariableUse* const found = use_of(variable);
  if (found == nullptr) return Value(this, kNoValue);
  Graph::VariableUse& use = *found;
  if (use.assigned != kNoValue) return Value(this, use.assigned);
  if (use.value == kNoValue) {
    use.value = static_cast<ValueId>(graph_.values_.size());
    graph_.values_.push_back({variable.type, -1, 0, variable.name});
  }
  return Value(this, use.value);
}

void GraphBuilder::assign(const Variable& variable, Value value) {
  if (value.is_null()) {
    poison(absl::InvalidArgumentError("assignment of a null value"));
    return;
  }
  value = captured(value);
  if (value.is_poisoned()) return;
  if (parent_ != nullptr) {
    poison(absl::InvalidArgumentError(absl::StrCat(
        "variable '", variable.name, "' is assigned inside a region; return its value instead")));
    return;
  }
  if (!(value.type() == variable.type)) {
    poison(absl::InvalidArgumentError(absl::StrCat("variable '", variable.name, "' is ",
                                                   to_string(variable.type), ", assigned ",
                                                   to_string(value.type()))));
    return;
  }
  Graph::VariableUse* const use = use_of(variable);
  if (use == nullptr) return;
  use->assigned = value.id();
  assigned_[variable.name].push_back(value.id());
}

std::vector<Value> GraphBuilder::contents(const Variable& variable) {
  if (parent_ != nullptr) return parent_->contents(variable);
  std::vector<Value> all;
  const auto add = [&](ValueId id) {
    const Value value(this, id);
    if (std::find(all.begin(), all.end(), value) == all.end()) all.push_back(value);
  };
  const auto use = variable_index_.find(variable.name);
  if (use == variable_index_.end()) return all;
  const ValueId first = graph_.variables_[static_cast<size_t>(use->second)].value;
  if (first != kNoValue) add(first);
  for (const ValueId id : assigned_[variable.name]) add(id);
  return all;
}

Value GraphBuilder::constant(Tensor tensor) {
  for (ValueId id : constant_index_[tensor.data()]) {
    const Graph::Node& node = graph_.node(graph_.value(id).producer);
    const Tensor& other = node.attributes.as<ConstantAttributes>().value;
    if (other.dtype() == tensor.dtype() && other.shape() == tensor.shape()) return Value(this, id);
  }
  const std::byte* data = tensor.data();
  Value v = emit_one("constant", {}, Attributes::of(ConstantAttributes{std::move(tensor)}));
  if (v.is_poisoned()) return v;
  // An equal constant may stand already: then these bytes die, and their address says nothing.
  const Graph::Node& node = graph_.node(graph_.value(v.id()).producer);
  if (node.attributes.as<ConstantAttributes>().value.data() == data) {
    constant_index_[data].push_back(v.id());
  }
  return v;
}

Value GraphBuilder::scalar(double value, DType dtype) {
  absl::StatusOr<Tensor> tensor = Tensor::zeros(dtype, {});
  if (!tensor.ok()) return poison(tensor.status());
  tensor->set(0, value);
  return constant(*std::move(tensor));
}

void GraphBuilder::output(absl::string_view name, Value value) {
  if (value.is_null()) {
    poison(absl::InvalidArgumentError(absl::StrCat("output '", name, "' is a null value")));
    return;
  }
  value = captured(value);
  if (value.is_poisoned()) return;
  if (!output_names_.insert(std::string(name)).second) {
    poison(absl::AlreadyExistsError(absl::StrCat("output '", name, "' exists")));
    return;
  }
  graph_.outputs_.push_back({std::string(name), value.id()});
}

void GraphBuilder::set_range(absl::string_view symbol, DimRange range) {
  if (parent_ != nullptr) return parent_->set_range(symbol, range);
  auto [it, inserted] = graph_.ranges_.try_emplace(std::string(symbol), range);
  if (!inserted) {
    it->second = {std::max(it->second.min, range.min), std::min(it->second.max, range.max)};
  }
  if (it->second.min > it->second.max) {
    poison(absl::InvalidArgumentError(absl::StrCat("dimension '", symbol,
                                                   "' would lie in the empty range ",
                                                   it->second.min, "..", it->second.max)));
  }
}

void GraphBuilder::require_equal(const Dim& left, const Dim& right, absl::string_view reason) {
  if (left.is_too_large() || right.is_too_large()) {
    poison(absl::InvalidArgumentError(absl::StrCat(reason, ": too large an expression")));
    return;
  }
  if (left == right) return;
  if ((left - right).is_static()) {
    poison(absl::InvalidArgumentError(
        absl::StrCat(reason, ": ", left.to_string(), " and ", right.to_string(), " differ")));
    return;
  }
  // Whether they agree is seen long after this, when extents are bound.
  const GraphBuilder* place = this;
  while (place->current_scope().empty() && place->parent_ != nullptr) place = place->parent_;
  const absl::string_view scope = place->current_scope();
  add_constraint(left, right, absl::StrCat(scope, scope.empty() ? "" : ": ", reason));
}

void GraphBuilder::add_constraint(const Dim& left, const Dim& right, std::string reason) {
  if (parent_ != nullptr) return parent_->add_constraint(left, right, std::move(reason));
  if (!constrained_.emplace(left, right).second) return;
  constrained_.emplace(right, left);
  graph_.constraints_.push_back({left, right, std::move(reason)});
}

// A value of a parent, seen from inside a region, is an input of the region.
Value GraphBuilder::captured(Value outer) {
  if (outer.is_null()) return outer;
  if (outer.builder() == this) {
    if (outer.id_ < 0 || !outer.is_poisoned()) return outer;
    return poison(absl::InvalidArgumentError("a value is used after its graph was built"));
  }
  if (parent_ == nullptr) {
    return poison(absl::InvalidArgumentError("a value of another graph is used here"));
  }
  const Value from_parent = parent_->captured(outer);
  if (from_parent.is_poisoned()) return Value(this, kNoValue);
  for (size_t i = 0; i < captures_->size(); ++i) {
    if ((*captures_)[i] == from_parent) return capture_inputs_[i];
  }
  captures_->push_back(from_parent);
  capture_inputs_.push_back(
      input(absl::StrCat("captured", captures_->size() - 1), from_parent.type()));
  return capture_inputs_.back();
}

std::vector<Value> GraphBuilder::emit(absl::string_view op, absl::Span<const Value> inputs,
                                      Attributes attributes) {
  const OpDef* def = registry_.find(op);
  if (def == nullptr) {
    poison(absl::NotFoundError(absl::StrCat("no op '", op, "' is registered")));
    return poisoned_outputs(1);
  }
  return emit(*def, inputs, std::move(attributes));
}

Value GraphBuilder::emit_one(absl::string_view op, absl::Span<const Value> inputs,
                             Attributes attributes) {
  return emit(op, inputs, std::move(attributes)).front();
}

std::vector<Value> GraphBuilder::emit(const OpDef& op, absl::Span<const Value> inputs,
                                      Attributes attributes) {
  const auto fail = [&](const absl::Status& status) {
    if (status_.ok()) status_ = in_context(status, op.name);
    return poisoned_outputs(1);
  };
  if (op.attributes.parse != nullptr && attributes.empty()) {
    auto defaults = op.attributes.parse({});
    if (!defaults.ok()) return fail(defaults.status());
    attributes = *std::move(defaults);
  }

  Graph::Node node;
  node.op = &op;
  for (const Value& given : inputs) {
    const Value in = captured(given);
    if (in.is_poisoned()) return poisoned_outputs(1);
    node.inputs.push_back(in.is_null() ? kNoValue : in.id());
  }
  // Absent at the end: not there.
  while (node.inputs.size() > static_cast<size_t>(op.min_inputs) &&
         node.inputs.back() == kNoValue) {
    node.inputs.pop_back();
  }

  const std::vector<const TensorType*> types = operand_types(graph_, node.inputs);
  InferenceContext context{types, attributes, {}, {}};
  if (const absl::Status s = infer_types(op, context); !s.ok()) return fail(s);
  for (const Graph::Constraint& c : context.constraints) require_equal(c.left, c.right, c.reason);

  const uint64_t key = key_of(op, attributes, node.inputs);
  if (op.pure) {
    for (NodeId candidate : node_index_[key]) {
      const Graph::Node& other = graph_.node(candidate);
      if (other.op == &op && other.inputs == node.inputs && other.attributes == attributes) {
        std::vector<Value> outputs;
        for (int i = 0; i < other.num_outputs; ++i) outputs.push_back(Value(this, other.output(i)));
        return outputs;
      }
    }
  }

  const auto id = static_cast<NodeId>(graph_.nodes_.size());
  node.attributes = std::move(attributes);
  node.first_output = static_cast<ValueId>(graph_.values_.size());
  node.num_outputs = static_cast<int>(context.outputs.size());
  node.scope = scope_;
  std::vector<Value> outputs;
  for (int i = 0; i < node.num_outputs; ++i) {
    outputs.push_back(Value(this, static_cast<ValueId>(graph_.values_.size())));
    graph_.values_.push_back({std::move(context.outputs[static_cast<size_t>(i)]), id, i, ""});
  }
  graph_.nodes_.push_back(std::move(node));
  if (op.pure) node_index_[key].push_back(id);
  return outputs;
}

int64_t GraphBuilder::next_random_stream() {
  // A region continues the counting of its parent, so that no two call sites share a stream.
  if (parent_ != nullptr) return parent_->next_random_stream();
  const absl::string_view path = current_scope();
  const int64_t call = random_calls_[scope_]++;
  const uint64_t h = XXH3_64bits_withSeed(path.data(), path.size(), static_cast<uint64_t>(call));
  return static_cast<int64_t>(h >> 1);  // non-negative
}

GraphBuilder::Inlined GraphBuilder::inline_graph(const Graph& graph, absl::Span<const Value> inputs,
                                                 absl::Span<const Value> variable_values) {
  std::vector<Value> map(graph.values().size());
  Inlined result;
  if (inputs.size() != graph.inputs().size() ||
      (!variable_values.empty() && variable_values.size() != graph.variables().size())) {
    poison(absl::InvalidArgumentError(absl::StrCat("graph '", graph.name(), "' takes ",
                                                   graph.inputs().size(), " inputs, got ",
                                                   inputs.size())));
    result.outputs = poisoned_outputs(static_cast<int>(graph.outputs().size()));
    result.assigned.resize(graph.variables().size());
    return result;
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    map[static_cast<size_t>(graph.inputs()[i])] = inputs[i];
  for (size_t i = 0; i < graph.variables().size(); ++i) {
    const Graph::VariableUse& use = graph.variables()[i];
    if (use.value == kNoValue) continue;
    map[static_cast<size_t>(use.value)] =
        variable_values.empty() ? variable(*use.variable) : variable_values[i];
  }
  for (const auto& [symbol, range] : graph.ranges()) set_range(symbol, range);
  for (const Graph::Constraint& c : graph.constraints()) require_equal(c.left, c.right, c.reason);
  for (const Graph::Node& node : graph.nodes()) {
    const ScopeOf scope(*this, graph.scopes()[static_cast<size_t>(node.scope)]);
    std::vector<Value> operands;
    for (ValueId in : node.inputs) {
      operands.push_back(in == kNoValue ? Value() : map[static_cast<size_t>(in)]);
    }
    const std::vector<Value> outputs = emit(*node.op, operands, node.attributes);
    for (int i = 0; i < node.num_outputs; ++i) {
      const auto at = static_cast<size_t>(node.output(i));
      map[at] = static_cast<size_t>(i) < outputs.size() ? outputs[static_cast<size_t>(i)]
                                                        : Value(this, kNoValue);
      if (!graph.value(node.output(i)).name.empty())
        set_name(map[at], graph.value(node.output(i)).name);
    }
  }
  for (const Graph::Output& out : graph.outputs()) {
    result.outputs.push_back(map[static_cast<size_t>(out.value)]);
  }
  for (const Graph::VariableUse& use : graph.variables()) {
    result.assigned.push_back(use.assigned == kNoValue ? Value()
                                                       : map[static_cast<size_t>(use.assigned)]);
  }
  return result;
}

GraphBuilder::Region GraphBuilder::region(absl::string_view name,
                                          absl::Span<const TensorType> inputs,
                                          const RegionBody& body) {
  Region result;
  GraphBuilder inner(registry_, name);
  inner.parent_ = this;
  inner.captures_ = &result.captured;
  std::vector<Value> arguments;
  for (size_t i = 0; i < inputs.size(); ++i) {
    arguments.push_back(inputs[i].dtype == DType::kInvalid
                            ? Value(&inner, kNoValue)
                            : inner.input(absl::StrCat("in", i), inputs[i]));
  }
  const std::vector<Value> outputs = body(inner, arguments);
  for (size_t i = 0; i < outputs.size(); ++i) inner.output(absl::StrCat("out", i), outputs[i]);
  auto built = inner.build();
  if (!built.ok()) {
    poison(built.status());
    return result;
  }
  result.graph = *std::move(built);
  return result;
}

GraphBuilder::Scope::Scope(GraphBuilder& builder, absl::string_view name)
    : builder_(builder), previous_(builder.scope_), generation_(builder.generation_) {
  const absl::string_view outer = builder.current_scope();
  builder.scope_ =
      builder.enter_scope(outer.empty() ? std::string(name) : absl::StrCat(outer, ".", name));
}
GraphBuilder::Scope::~Scope() { builder_.leave_scope(previous_, generation_); }

GraphBuilder::ScopeOf::ScopeOf(GraphBuilder& builder, absl::string_view path)
    : builder_(builder), previous_(builder.scope_), generation_(builder.generation_) {
  builder.scope_ = builder.enter_scope(path);
}
GraphBuilder::ScopeOf::~ScopeOf() { builder_.leave_scope(previous_, generation_); }

int GraphBuilder::enter_scope(absl::string_view path) {
  auto [it, inserted] =
      scope_index_.try_emplace(std::string(path), static_cast<int>(graph_.scopes_.size()));
  if (inserted) graph_.scopes_.emplace_back(path);
  return it->second;
}

// The scopes of a graph that was built meanwhile are gone.
void GraphBuilder::leave_scope(int previous, uint32_t generation) {
  if (generation == generation_) scope_ = previous;
}

absl::string_view GraphBuilder::current_scope() const {
  return graph_.scopes_[static_cast<size_t>(scope_)];
}

void GraphBuilder::set_name(Value value, absl::string_view name) {
  if (value.builder() != this || value.is_poisoned()) return;
  Graph::ValueInfo& info = graph_.values_[static_cast<size_t>(value.id())];
  if (info.producer >= 0 && info.name.empty()) info.name = std::string(name);
}

const TensorType& GraphBuilder::type(Value value) const { return value.type(); }

absl::StatusOr<GraphRef> GraphBuilder::build() {
  if (!status_.ok()) return status_;
  // What the ranges, which are all known now, promise anyway.
  std::erase_if(graph_.constraints_, [&](const Graph::Constraint& c) {
    return are_equal_within(c.left, c.right, graph_.ranges_);
  });
  if (absl::Status s = verify(graph_); !s.ok()) return s;
  auto graph = std::make_shared<Graph>(Graph());
  std::swap(*graph, graph_);
  graph_.name_ = graph->name_;
  ++generation_;
  scope_ = 0;
  scope_index_ = {{"", 0}};
  random_calls_.clear();
  node_index_.clear();
  constant_index_.clear();
  variable_index_.clear();
  assigned_.clear();
  input_index_.clear();
  output_names_.clear();
  constrained_.clear();
  return GraphRef(std::move(graph));
}

}  // namespace modellib
