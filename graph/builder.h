// GraphBuilder: how a graph is made.
//
//   GraphBuilder b(builtin_ops(), "mlp");
//   Value x = b.input("x", {DType::kF32, {Dim::symbol("batch"), 784}});
//   Value w = b.variable({"fc.weight", {DType::kF32, {10, 784}}});
//   b.output("logits", matmul(x, w, {.transpose_b = true}));
//   absl::StatusOr<GraphRef> graph = b.build();
//
// Types are inferred on every emit, and equal nodes are made once. A mistake poisons the value that
// it concerns: whatever is computed from it is poisoned too, and build() returns the first mistake
// with the scopes it happened in. So model code needs no status plumbing. Not thread-safe.
#ifndef MODELLIB_GRAPH_BUILDER_H_
#define MODELLIB_GRAPH_BUILDER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/graph/graph.h"

namespace modellib {

class GraphBuilder;
class OpRegistry;

// A handle to a value of a graph under construction; two words, copied freely. A
// default-constructed one is null: "absent" as an optional operand. Valid as long as its builder,
// until build(): from then on it is poisoned, and a mistake in whatever it is used for.
class Value {
 public:
  Value() = default;

  bool is_null() const { return builder_ == nullptr; }
  bool is_poisoned() const;
  GraphBuilder* builder() const { return builder_; }
  ValueId id() const { return id_; }

  // A null or poisoned value has dtype kInvalid and an empty shape. The reference lives as long as
  // the builder, until build().
  const TensorType& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  int rank() const { return type().rank(); }
  // Extent of `axis`, negative from the end; poisons the build and gives 0 if out of range.
  Dim dim(int axis) const;

  // PyTorch's methods; ops/ defines them (ops/value_methods.cc).
  Value mean(int64_t dim, bool keepdim = false) const;
  Value sum(int64_t dim, bool keepdim = false) const;
  Value reshape(Shape shape) const;
  Value transpose(int64_t dim0, int64_t dim1) const;
  Value to(DType dtype) const;

  friend bool operator==(const Value&, const Value&) = default;

 private:
  friend class GraphBuilder;
  Value(GraphBuilder* builder, ValueId id);
  GraphBuilder* builder_ = nullptr;
  ValueId id_ = kNoValue;
  uint32_t generation_ = 0;  // which of the builder's graphs it is of
};

class GraphBuilder {
 public:
  // `registry` must outlive the builder and every graph it builds.
  explicit GraphBuilder(const OpRegistry& registry, absl::string_view name = "graph");
  GraphBuilder(const GraphBuilder&) = delete;
  GraphBuilder& operator=(const GraphBuilder&) = delete;

  const OpRegistry& registry() const { return registry_; }
  absl::string_view name() const { return graph_.name_; }
  // How many regions this builder stands in; 0 for a whole graph.
  int depth() const { return parent_ == nullptr ? 0 : parent_->depth() + 1; }

  // Inputs in the order of calls; names must differ.
  Value input(absl::string_view name, TensorType type);
  // The variable's current content: that at entry, or what was last assigned in this graph.
  // The same name must always come with the same type and kind.
  Value variable(const Variable& variable);
  // What the variable holds after the run. The last assignment stands; later reads see it.
  void assign(const Variable& variable, Value value);
  // All that the variable has held in this graph, each value once: its content at entry, if that
  // was read, then what was assigned.
  std::vector<Value> contents(const Variable& variable);
  // A constant. Tensors that share bytes are merged at once, equal ones by content.
  Value constant(Tensor tensor);
  // A scalar constant of `dtype`, rounded to it.
  Value scalar(double value, DType dtype = DType::kF32);
  // Outputs in the order of calls; names must differ.
  void output(absl::string_view name, Value value);

  // Declares that the symbol lies within [min, max]; bounds from several calls intersect.
  void set_range(absl::string_view symbol, DimRange range);
  // `left` and `right` are equal once symbols are bound. The current scope stands before the
  // reason.
  void require_equal(const Dim& left, const Dim& right, absl::string_view reason);

  // Appends a node, or finds an equal one. The op's outputs; poisoned on any mistake. An unknown op
  // has one poisoned output.
  std::vector<Value> emit(absl::string_view op, absl::Span<const Value> inputs,
                          Attributes attributes = {});
  std::vector<Value> emit(const OpDef& op, absl::Span<const Value> inputs,
                          Attributes attributes = {});
  // The first output of emit(): for the many ops that have one.
  Value emit_one(absl::string_view op, absl::Span<const Value> inputs, Attributes attributes = {});
  // A random op's stream: a hash of the scope path and of the call's number within it, so it is
  // stable under rewrites elsewhere and differs between call sites.
  int64_t next_random_stream();

  // Copies `graph` (its variables and outputs apart) into this one. `inputs` stand for the graph's
  // inputs, `variable_values`, if not empty, for the content of its variables in their order.
  // Returns the values of its outputs, then those it assigns to variables (null: none).
  struct Inlined {
    std::vector<Value> outputs;
    std::vector<Value> assigned;  // in the order of graph.variables()
  };
  Inlined inline_graph(const Graph& graph, absl::Span<const Value> inputs,
                       absl::Span<const Value> variable_values = {});

  // A region for control flow: `body` gets a builder and the region's inputs, and returns its
  // outputs. Values of this builder (or of its parents) that the body uses are captured: they
  // become further inputs of the region, after `inputs`, and are returned in `captured`. An input
  // of no type, which is that of a poisoned value, is poisoned.
  struct Region {
    GraphRef graph;  // null if the body was poisoned
    std::vector<Value> captured;
  };
  using RegionBody =
      std::function<std::vector<Value>(GraphBuilder& builder, absl::Span<const Value> inputs)>;
  Region region(absl::string_view name, absl::Span<const TensorType> inputs,
                const RegionBody& body);

  // Inside a region: the value that stands for one of the graph around it. What is emitted captures
  // by itself; this is for code that looks at ids or wants its nodes inside.
  Value captured(Value outer);

  // Names the scope of what is emitted while it lives: "encoder", then "layer0", … nest with dots.
  class [[nodiscard]] Scope {
   public:
    Scope(GraphBuilder& builder, absl::string_view name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    GraphBuilder& builder_;
    const int previous_;
    const uint32_t generation_;
  };
  Scope scope(absl::string_view name) { return Scope(*this, name); }
  // "encoder.layer0"
  absl::string_view current_scope() const;
  // Emits in the scope of an existing value's producer while it lives (gradients, rewrites).
  class [[nodiscard]] ScopeOf {
   public:
    ScopeOf(GraphBuilder& builder, absl::string_view path);
    ~ScopeOf();
    ScopeOf(const ScopeOf&) = delete;
    ScopeOf& operator=(const ScopeOf&) = delete;

   private:
    GraphBuilder& builder_;
    const int previous_;
    const uint32_t generation_;
  };

  // A name for people, shown in the text form.
  void set_name(Value value, absl::string_view name);

  // Records a mistake in the model's code. The first one wins; build() returns it.
  Value poison(absl::Status status);
  const absl::Status& status() const { return status_; }

  // Access to what was built so far: for gradients and rewrites.
  const TensorType& type(Value value) const;
  const Graph& so_far() const { return graph_; }
  Value value(ValueId id) { return Value(this, id); }

  // Freezes and verifies. The builder is empty afterwards. The first mistake, if there was one.
  absl::StatusOr<GraphRef> build();

 private:
  friend class Value;

  // Where the variable stands in this graph; null, and the build poisoned, if it cannot.
  Graph::VariableUse* use_of(const Variable& variable);
  int enter_scope(absl::string_view path);
  void leave_scope(int previous, uint32_t generation);
  void add_constraint(const Dim& left, const Dim& right, std::string reason);
  absl::Status in_context(const absl::Status& status, absl::string_view op) const;
  std::vector<Value> poisoned_outputs(int count);

  const OpRegistry& registry_;
  GraphBuilder* parent_ = nullptr;
  std::vector<Value>* captures_ = nullptr;  // outer values, of a region under construction
  std::vector<Value> capture_inputs_;       // the inputs that stand for them
  Graph graph_;
  uint32_t generation_ = 0;  // graphs built before this one
  absl::Status status_;
  int scope_ = 0;
  absl::flat_hash_map<std::string, int> scope_index_;
  absl::flat_hash_map<int, int64_t> random_calls_;
  absl::flat_hash_map<uint64_t, std::vector<NodeId>> node_index_;
  // Constants by where their bytes lie: looked up before the content is hashed.
  absl::flat_hash_map<const std::byte*, std::vector<ValueId>> constant_index_;
  absl::flat_hash_map<std::string, int> variable_index_;
  absl::flat_hash_map<std::string, std::vector<ValueId>> assigned_;  // to variables, in order
  absl::flat_hash_map<std::string, int> input_index_;
  absl::flat_hash_set<std::string> output_names_;
  absl::flat_hash_set<std::pair<Dim, Dim>> constrained_;  // each pair in both orders
};

inline Value::Value(GraphBuilder* builder, ValueId id)
    : builder_(builder), id_(id), generation_(builder->generation_) {}

inline bool Value::is_poisoned() const {
  return builder_ != nullptr && (id_ < 0 || generation_ != builder_->generation_);
}

}  // namespace modellib

#endif  // MODELLIB_GRAPH_BUILDER_H_
