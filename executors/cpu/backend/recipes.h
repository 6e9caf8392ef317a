// Recipes of the CPU backend: for each op that is not a tile program, the steps that carry it out.
// One file for each family of ops; the table that names them all is in cpu_backend.cc.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_RECIPES_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_RECIPES_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/passes/backend.h"

namespace modellib::cpu {

using RecipeFunction = absl::StatusOr<NodeRecipe> (*)(const RecipeSite&);

absl::StatusOr<NodeRecipe> all_reduce_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> arg_reduce_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> attention_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> broadcast_from_recipe(const RecipeSite& site);  // by a root rank
absl::StatusOr<NodeRecipe> broadcast_recipe(const RecipeSite& site);       // over axes
absl::StatusOr<NodeRecipe> concat_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> conv_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> cumsum_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> gather_elements_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> gather_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> matmul_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> pad_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> pool_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> reduce_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> repeat_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> scatter_add_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> scatter_elements_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> sharded_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> slice_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> sort_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> tile_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> transpose_recipe(const RecipeSite& site);
absl::StatusOr<NodeRecipe> update_slice_recipe(const RecipeSite& site);

// Whether the kernel takes this node of op "attention" or "attention_grad"; else it is decomposed.
bool takes_attention(const Graph& graph, const Graph::Node& node);

// Whether repeat_recipe can do this node of op "repeat_interleave"; else it is decomposed.
bool takes_repeat(const Graph& graph, const Graph::Node& node);

// Whether conv_recipe can do the convolution `node` with the epilogue.
bool takes_conv_epilogue(const Graph& graph, const Graph::Node& node, const Epilogue& epilogue);
// Backend::channels_last_gain of a convolution or one of its gradients.
int64_t conv_channels_last_gain(const Graph& graph, const Graph::Node& node);

// What the recipe files share.

// "cpu: OP of TYPES": for ops that no kernel serves with these types.
absl::Status no_kernel(const RecipeSite& site, absl::string_view why);
constexpr StepOperand input_operand(int i) { return {StepOperand::Kind::kInput, i}; }
constexpr StepOperand output_operand() { return {StepOperand::Kind::kOutput, 0}; }
// Operands in the order of the node's outputs and inputs.
std::vector<StepOperand> all_outputs(const RecipeSite& site);
std::vector<StepOperand> all_inputs(const RecipeSite& site);
// A dense value as [outer, reduce, inner].
struct ReduceBlock {
  Dim outer = 1, reduce = 1, inner = 1;
};
// Appends the steps that sum an f32 operand over the middle of `block`.
void add_reduction(const RecipeSite& site, NodeRecipe& recipe, const ReduceBlock& block,
                   StepOperand from, StepOperand to);
// The extents of a copy, and how source and target step through them (elements).
struct Walk {
  Shape extents;
  std::vector<Dim> source, target;
  Dim source_base = 0, target_base = 0;
};
// That of a dense value of shape `from` into one of shape `to`, to which it is broadcast. Axes that
// it steps through as one are one.
Walk broadcast_walk(const Shape& from, const Shape& to);
// Adds so many bytes that only steps of the recipe see.
StepOperand add_temporary(NodeRecipe& recipe, const Dim& bytes);
// Adds floats that are made of the node's constant input when the plan is: `layout` names how.
StepOperand add_constant(NodeRecipe& recipe, int input, std::string layout,
                         std::function<std::vector<float>(absl::Span<const float>)> pack);
absl::StatusOr<StepRecipe> copy_step(const RecipeSite& site, DType dtype, const Walk& walk,
                                     StepOperand from, StepOperand to);
// Appends such a step.
absl::Status add_copy(const RecipeSite& site, NodeRecipe& recipe, DType dtype, const Walk& walk,
                      StepOperand from, StepOperand to);
// What the kernels call an activation of ops/epilogue.h; nothing if they have none of this name.
std::optional<Activation> activation_of(absl::string_view name);
// Where the kernels add the residual of an epilogue; without an activation it is all the same.
ResidualAt residual_at(absl::string_view activation, bool after);
// A copy of so many bytes, without operands; in place it does nothing.
StepRecipe copy_bytes(const Dim& bytes);
// Elements from one step of each dimension to the next, of a dense value.
std::vector<Dim> dense_strides(const Shape& shape);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_RECIPES_H_
