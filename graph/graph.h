// A Graph: an immutable dataflow program in static single assignment form.
//
// Values are numbered; a value is an input, the content of a variable at entry, or an output of a
// node. Nodes stand in topological order in one array. Variables are not mutated by nodes: a graph
// may name, for each variable it uses, the value that the variable has after the run, so a training
// step is as pure as an inference. A graph is made by a GraphBuilder or by the parser of the text
// form, is verified then, and never changes; any thread may share it.
#ifndef MODELLIB_GRAPH_GRAPH_H_
#define MODELLIB_GRAPH_GRAPH_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/graph/attributes.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/dtype.h"

namespace modellib {

struct OpDef;

struct TensorType {
  DType dtype = DType::kInvalid;
  Shape shape;
  int rank() const { return static_cast<int>(shape.size()); }
  bool operator==(const TensorType&) const = default;
};
std::string to_string(const TensorType& type);  // "f32[batch,784]"

using ValueId = int32_t;
using NodeId = int32_t;
// An optional operand that is absent.
inline constexpr ValueId kNoValue = -1;

// State that outlives a run. Graphs of one program that name the same variable share one
// definition.
struct Variable {
  enum class Kind : uint8_t {
    kShared,   // one for all sessions: weights, optimizer slots, running statistics
    kSession,  // one for each session: key-value caches, random state
    kShard,    // this rank's part of what is split over ranks; held like kShared
  };
  std::string name;  // unique in the program, as in a PyTorch state dict: "fc1.weight"
  TensorType type;   // static shape
  Kind kind = Kind::kShared;
  bool operator==(const Variable&) const = default;
};
using VariableRef = std::shared_ptr<const Variable>;
absl::string_view to_string(Variable::Kind kind);  // "shared", "session", "shard"

class Graph {
 public:
  struct ValueInfo {
    TensorType type;
    NodeId producer = -1;  // -1: an input or a variable's content
    int output_index = 0;  // which output of the producer
    std::string name;      // for people; may be empty
  };
  struct Node {
    const OpDef* op = nullptr;
    Attributes attributes;
    std::vector<ValueId> inputs;  // kNoValue where an optional one is absent
    ValueId first_output = 0;     // outputs are consecutive
    int num_outputs = 1;
    int scope = 0;  // index into scopes()
    ValueId output(int i) const { return first_output + i; }
  };
  struct VariableUse {
    VariableRef variable;
    ValueId value = kNoValue;     // content at entry; kNoValue: not read
    ValueId assigned = kNoValue;  // content after the run; kNoValue: unchanged
  };
  struct Output {
    std::string name;
    ValueId value;
  };
  // `left` and `right` must be equal once symbols are bound.
  struct Constraint {
    Dim left, right;
    std::string reason;
  };

  absl::string_view name() const { return name_; }
  absl::Span<const Node> nodes() const { return nodes_; }
  // References to its elements stay valid while a builder appends.
  const std::deque<ValueInfo>& values() const { return values_; }
  absl::Span<const ValueId> inputs() const { return inputs_; }
  absl::Span<const VariableUse> variables() const { return variables_; }
  absl::Span<const Output> outputs() const { return outputs_; }
  absl::Span<const std::string> scopes() const { return scopes_; }  // [0] is ""
  absl::Span<const Constraint> constraints() const { return constraints_; }
  // Declared bounds of symbols; a symbol without an entry is unbounded.
  const DimRanges& ranges() const { return ranges_; }

  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  const ValueInfo& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  const TensorType& type(ValueId id) const { return value(id).type; }

  // Nodes that read each value, in order, each once per operand; index by ValueId. Graph outputs
  // and variable assignments are not in it.
  std::vector<std::vector<NodeId>> users() const;

 private:
  friend class GraphBuilder;
  friend class GraphAssembler;  // graph/assemble.h
  Graph() = default;

  std::string name_;
  std::vector<Node> nodes_;
  std::deque<ValueInfo> values_;
  std::vector<ValueId> inputs_;
  std::vector<VariableUse> variables_;
  std::vector<Output> outputs_;
  std::vector<std::string> scopes_ = {""};
  std::vector<Constraint> constraints_;
  DimRanges ranges_;
};

// A hash of what the graph computes: ops, attributes, types, wiring, names of inputs, outputs and
// variables. Names of values and scopes, and the order of independent nodes, do not enter.
uint64_t structural_hash(const Graph& graph);
// Same structure, by comparison of canonical forms; constants by bits.
bool structurally_equal(const Graph& a, const Graph& b);

}  // namespace modellib

#endif  // MODELLIB_GRAPH_GRAPH_H_
