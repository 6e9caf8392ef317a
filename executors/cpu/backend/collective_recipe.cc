// Collectives: steps of the runtime, on a lane of their own, so that they overlap with computing.
#include <utility>

#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/runtime/communicator.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/collectives.h"

namespace modellib::cpu {
namespace {

StepRecipe collective(const char* kernel, const RecipeSite& site, std::vector<Dim> options) {
  StepRecipe step;
  step.kernel = kernel;
  step.lane = kCommunicationLane;
  step.outputs = {{StepOperand::Kind::kOutput, 0}};
  step.inputs = {{StepOperand::Kind::kInput, 0}};
  const bool scatters = site.node.op->name == "reduce_scatter";
  step.scalars = {element_count(scatters ? site.out(0).shape : site.in(0).shape),
                  static_cast<int64_t>(site.in(0).dtype)};
  step.scalars.insert(step.scalars.end(), options.begin(), options.end());
  return step;
}

Dim reduction_of(const RecipeSite& site) {
  const std::string& op = site.node.attributes.as<AllReduceAttributes>().op;
  const runtime::Reduction reduction = op == "product" ? runtime::Reduction::kProduct
                                       : op == "min"   ? runtime::Reduction::kMin
                                       : op == "max"   ? runtime::Reduction::kMax
                                                       : runtime::Reduction::kSum;
  return static_cast<int64_t>(reduction);
}

NodeRecipe one(StepRecipe step) {
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace

absl::StatusOr<NodeRecipe> all_reduce_recipe(const RecipeSite& site) {
  StepRecipe step = collective("comm.all_reduce", site, {reduction_of(site)});
  step.in_place = {{0, 0}};
  return one(std::move(step));
}

absl::StatusOr<NodeRecipe> broadcast_from_recipe(const RecipeSite& site) {
  StepRecipe step =
      collective("comm.broadcast", site, {site.node.attributes.as<RootAttributes>().root});
  step.in_place = {{0, 0}};
  return one(std::move(step));
}

// The communicator joins and cuts along the outermost axis; for another one the parts are moved.
absl::StatusOr<NodeRecipe> sharded_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<ShardAttributes>();
  const bool gathers = site.node.op->name == "all_gather";
  const TensorType& part = gathers ? site.in(0) : site.out(0);
  const auto axis = static_cast<size_t>(a.axis < 0 ? a.axis + part.rank() : a.axis);
  StepRecipe step = gathers ? collective("comm.all_gather", site, {a.ranks})
                            : collective("comm.reduce_scatter", site,
                                         {static_cast<int64_t>(runtime::Reduction::kSum), a.ranks});
  const Dim outer = element_count({part.shape.data(), axis});
  if (outer == Dim(1)) return one(std::move(step));
  const Dim inner = element_count({part.shape.data() + axis, part.shape.size() - axis});
  NodeRecipe recipe;
  const StepOperand temporary =
      add_temporary(recipe, outer * inner * a.ranks * (bits_of(part.dtype) / 8));
  const Shape extents = {a.ranks, outer, inner};
  const std::vector<Dim> by_rank = {outer * inner, inner, 1}, joined = {inner, inner * a.ranks, 1};
  if (gathers) {
    step.outputs = {temporary};
    recipe.steps.push_back(std::move(step));
    MODELLIB_RETURN_IF_ERROR(add_copy(site, recipe, part.dtype, {extents, by_rank, joined},
                                      temporary, output_operand()));
    return recipe;
  }
  MODELLIB_RETURN_IF_ERROR(
      add_copy(site, recipe, part.dtype, {extents, joined, by_rank}, input_operand(0), temporary));
  step.inputs = {temporary};
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace modellib::cpu
