// A node that is a tile program by itself.
#include <utility>
#include <vector>

#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/region_compiler.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

// Operands that are broadcast are spread out first, by a copy each: then all step through memory
// alike, as through one long axis.
absl::StatusOr<NodeRecipe> dense_recipe(const RecipeSite& site, std::vector<TensorType> types) {
  const Shape& shape = site.out(0).shape;
  NodeRecipe recipe;
  std::vector<StepOperand> operands;
  for (size_t i = 0; i < types.size(); ++i) {
    operands.push_back(input_operand(static_cast<int>(i)));
    TensorType& type = types[i];
    if (type.shape == shape || element_count(type.shape) == Dim(1)) continue;
    const StepOperand spread =
        add_temporary(recipe, element_count(shape) * (bits_of(type.dtype) / 8));
    MODELLIB_RETURN_IF_ERROR(
        add_copy(site, recipe, type.dtype, broadcast_walk(type.shape, shape), operands[i], spread));
    operands[i] = spread;
    type.shape = shape;
  }
  MODELLIB_ASSIGN_OR_RETURN(StepRecipe step, compile_single(site, types));
  step.inputs = std::move(operands);
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace

absl::StatusOr<NodeRecipe> tile_recipe(const RecipeSite& site) {
  std::vector<TensorType> types;
  for (ValueId in : site.node.inputs) types.push_back(site.graph.type(in));
  absl::StatusOr<StepRecipe> step = compile_single(site, types);
  if (step.ok()) {
    NodeRecipe recipe;
    recipe.steps.push_back(*std::move(step));
    return recipe;
  }
  if (!absl::IsInvalidArgument(step.status())) return step.status();
  // More axes that do not merge than a program has.
  if (site.node.op->name == "broadcast_to") return broadcast_recipe(site);
  if (!site.node.op->pointwise) return no_kernel(site, step.status().message());
  absl::StatusOr<NodeRecipe> dense = dense_recipe(site, std::move(types));
  if (absl::IsInvalidArgument(dense.status())) return no_kernel(site, dense.status().message());
  return dense;
}

}  // namespace modellib::cpu
