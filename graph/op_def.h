// What an op is. graph/ knows ops only through this; ops/ fills it, one file for each op family.
//
// A primitive has a reference kernel. A composite has a decomposition into simpler ops; a backend
// that has a kernel for it takes it whole, any other decomposes it. Every op declares its gradient:
// a rule, that of its decomposition, or none.
#ifndef MODELLIB_GRAPH_OP_DEF_H_
#define MODELLIB_GRAPH_OP_DEF_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/graph/attributes.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/graph.h"

namespace modellib {

struct OpDef;

// Type inference of one node. `outputs` is filled by the op.
struct InferenceContext {
  absl::Span<const TensorType* const> inputs;  // null: absent
  const Attributes& attributes;
  std::vector<TensorType> outputs;
  std::vector<Graph::Constraint> constraints;

  const TensorType& input(int i) const { return *inputs[static_cast<size_t>(i)]; }
  bool has(int i) const {
    return i < static_cast<int>(inputs.size()) && inputs[static_cast<size_t>(i)];
  }

  // Ok if equal; InvalidArgument if both are numbers and differ; else a constraint, checked when
  // bound.
  absl::Status require_equal(const Dim& a, const Dim& b, absl::string_view reason);
  // The same for a <= b.
  absl::Status require_at_most(const Dim& a, const Dim& b, absl::string_view reason);
};

// Of a node's operands, as InferenceContext takes them.
std::vector<const TensorType*> operand_types(const Graph& graph,
                                             absl::Span<const ValueId> operands);

// Infers the types of a node's outputs into `context`, after checks that hold for every op: the
// number of operands, none of the required ones absent, attributes of the op's own struct.
// InvalidArgument says what is wrong with which types of operands, without the op's name.
absl::Status infer_types(const OpDef& op, InferenceContext& context);

// One evaluation of a node in plain code: tensors in, tensors out (allocated, zeroed, of the
// inferred types with all symbols bound).
struct ReferenceContext {
  const Attributes& attributes;
  absl::Span<const Tensor> inputs;  // dtype kInvalid: absent
  absl::Span<Tensor> outputs;
  const DimBinding& binding;  // for attributes that hold expressions
  // Runs a region on the reference executor; for control flow and fused groups.
  std::function<absl::StatusOr<std::vector<Tensor>>(const Graph&, absl::Span<const Tensor>)> run;

  bool has(int i) const {
    return i < static_cast<int>(inputs.size()) &&
           inputs[static_cast<size_t>(i)].dtype() != DType::kInvalid;
  }
  const Tensor& in(int i) const { return inputs[static_cast<size_t>(i)]; }
  Tensor& out(int i) { return outputs[static_cast<size_t>(i)]; }
};

// A node during differentiation or decomposition, as values of the builder.
struct OpCall {
  GraphBuilder& builder;
  const OpDef& op;
  const Attributes& attributes;
  std::vector<Value> inputs;   // absent: a null Value
  std::vector<Value> outputs;  // empty in a decomposition

  bool has(int i) const {
    return i < static_cast<int>(inputs.size()) && !inputs[static_cast<size_t>(i)].is_null();
  }
  const Value& in(int i) const { return inputs[static_cast<size_t>(i)]; }
  const Value& out(int i) const { return outputs[static_cast<size_t>(i)]; }
};

// A small case of an op, from which the op table's checks are made.
struct OpSample {
  std::string name;
  std::vector<TensorType> inputs;  // dtype kInvalid: absent
  Attributes attributes;
  // Values of inputs lie in [low, high] (floats uniform, integers and bools inclusive).
  double low = -2.0, high = 2.0;
  // Overrides for inputs with a narrower domain: (input, low, high).
  struct Domain {
    int input;
    double low, high;
  };
  std::vector<Domain> domains;
  DimBinding binding;       // for samples with symbolic dims
  double tolerance = 1e-5;  // relative, of a kernel against the reference in f32
  bool check_gradient =
      true;  // against central differences; false near kinks and for int inputs only
};

struct OpDef {
  enum class Kind { kPrimitive, kComposite };
  enum class Gradient {
    kUndeclared,     // nobody has said; the registry takes no such op
    kRule,           // `gradient`
    kDecomposition,  // that of `decompose`
    kNone,           // not differentiable: gradients stop here
  };

  std::string name;  // ONNX's or PyTorch's term in snake_case
  Kind kind = Kind::kPrimitive;
  AttributesSchema attributes;
  int min_inputs = 1;
  int max_inputs = 1;  // kVariadic: no limit
  static constexpr int kVariadic = -1;

  // InvalidArgument names the operand or attribute at fault, what was expected and what came.
  absl::Status (*infer)(InferenceContext&) = nullptr;
  // Primitives.
  absl::Status (*reference)(ReferenceContext&) = nullptr;
  // Composites: the same outputs from simpler ops.
  std::vector<Value> (*decompose)(OpCall&) = nullptr;
  Gradient differentiable = Gradient::kUndeclared;
  // From the gradients of the outputs (null: zero) to those of the inputs (null: zero or not
  // differentiable), by emitting nodes.
  std::vector<Value> (*gradient)(OpCall&, absl::Span<const Value> output_gradients) = nullptr;
  std::vector<OpSample> (*samples)() = nullptr;

  // Same inputs give the same outputs: may be merged and folded. False for nothing but ops with an
  // effect outside (a collective, a host call): random ops are functions of their key.
  bool pure = true;
  // Each output element depends on the same (broadcast) element of the inputs alone.
  bool pointwise = false;
  // The output is the input's bytes under another shape, stride or offset.
  bool view = false;
  bool commutative = false;
};

// Finds ops by name. The built-in table is in ops/registry.h; a user's context adds its own.
class OpRegistry {
 public:
  // AlreadyExists if the name is taken; InvalidArgument if what the kind needs is missing.
  absl::Status add(OpDef op);
  const OpDef* find(absl::string_view name) const;
  // All ops, sorted by name.
  std::vector<const OpDef*> all() const;

 private:
  absl::flat_hash_map<std::string, std::unique_ptr<const OpDef>> ops_;
};

}  // namespace modellib

#endif  // MODELLIB_GRAPH_OP_DEF_H_
