// What a pass may ask of a device: which ops it takes whole, what may be fused, and by which
// kernels, with which operands and scalars, a node is carried out. Everything that a backend
// answers is decided here, at plan time; the runtime only launches.
#ifndef MODELLIB_PASSES_BACKEND_H_
#define MODELLIB_PASSES_BACKEND_H_

#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"

namespace modellib {

// An operand of a step, in terms of the node that it carries out.
struct StepOperand {
  enum class Kind : uint8_t {
    kNone,       // absent
    kOutput,     // output `index` of the node
    kInput,      // input `index` of the node
    kTemporary,  // NodeRecipe::temporaries[index]
    kConstant,   // NodeRecipe::constants[index]
  };
  Kind kind = Kind::kNone;
  int index = 0;
};

struct StepRecipe {
  std::string kernel;
  std::vector<StepOperand> outputs, inputs;
  std::vector<Dim> scalars;  // floats as the bits of a double: see `scalar_bits`
  Dim chunks = 1;
  Dim workspace_bytes = 0;
  std::vector<uint8_t> data;
  // (output, input) of this step: the output may overwrite the input's bytes element by element.
  std::vector<std::pair<int, int>> in_place;
  int lane = 0;
};

// A float as a step's scalar.
inline Dim scalar_bits(double value) { return Dim(std::bit_cast<int64_t>(value)); }

// A constant in the layout that a kernel wants, made offline. Equal (source, layout) are packed
// once for all entries and specialisations.
struct PackedConstant {
  int input;           // operand of the node: the output of a "constant" node
  std::string layout;  // names the layout and its parameters
  std::function<absl::StatusOr<Tensor>(const Tensor& source)> pack;
};

// How a node is carried out: usually one step.
struct NodeRecipe {
  std::vector<StepRecipe> steps;  // in order
  std::vector<Dim> temporaries;   // bytes of each
  std::vector<PackedConstant> constants;
};

// What a backend sees of a node whose recipe it gives.
struct RecipeSite {
  const Graph& graph;
  const Graph::Node& node;
  const DimRanges& ranges;  // of all symbols of the entry

  const TensorType& in(int i) const { return graph.type(node.inputs[static_cast<size_t>(i)]); }
  bool has(int i) const {
    return i < static_cast<int>(node.inputs.size()) &&
           node.inputs[static_cast<size_t>(i)] != kNoValue;
  }
  const TensorType& out(int i) const { return graph.type(node.output(i)); }
  int64_t max(const Dim& dim) const { return dim.range(ranges).max; }
};

// What joins a product (a matmul or a convolution) to be applied as it is stored.
struct Epilogue {
  bool bias = false;
  bool residual = false;
  std::string activation = "none";  // one of ops/epilogue.h
  bool residual_after = false;      // the residual is added behind the activation, not before
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual absl::string_view name() const = 0;  // "cpu"
  // Names of lanes, "compute" first. More than one: steps may overlap.
  virtual std::vector<std::string> lanes() const { return {"compute"}; }
  // What the machine must have to run this kernel: a plan names what its own kernels need, not what
  // the machine that compiled it had. None for kernels that choose their instructions when loaded.
  virtual std::vector<std::string> features(absl::string_view /*kernel*/) const { return {}; }

  // Whether it has a kernel for the composite as a whole; else it is decomposed.
  virtual bool takes_composite(const Graph& graph, const Graph::Node& node) const = 0;
  // Whether it can carry out the product (a node "matmul", "conv", or one of them with an epilogue)
  // with this epilogue in one.
  virtual bool takes_epilogue(const Graph&, const Graph::Node& /*product*/, const Epilogue&) const {
    return false;
  }
  // The type that the node is to be computed in, its operands and results of another being cast;
  // none: in its own.
  virtual std::optional<DType> computes_in(const Graph&, const Graph::Node&) const {
    return std::nullopt;
  }
  // What channels-last images save at this node against channels-first ones: the bytes that could
  // be copied in that time. Negative where they cost.
  virtual int64_t channels_last_gain(const Graph&, const Graph::Node&) const { return 0; }
  // Whether the node can be part of a fused region.
  virtual bool can_fuse(const Graph& graph, const Graph::Node& node) const = 0;
  // Whether the region may become one "fused" node: asked for each candidate, so that the limits of
  // a device (registers, operands) are its own.
  virtual absl::Status accepts_region(const Graph& region) const = 0;
  // Unimplemented, naming op and types, if it can't be done.
  virtual absl::StatusOr<NodeRecipe> recipe(const RecipeSite& site) const = 0;
  // A step that copies `bytes` bytes, from input 0 to output 0.
  virtual StepRecipe copy(const Dim& bytes) const = 0;
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_BACKEND_H_
