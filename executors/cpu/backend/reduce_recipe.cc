// Reductions, arg-reductions and running sums that are not part of a fused region.
#include <algorithm>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/reduce.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/reduce.h"

namespace modellib::cpu {
namespace {

ReduceBlock block_of(const Shape& shape, size_t first, size_t last) {
  ReduceBlock b;
  for (size_t i = 0; i < shape.size(); ++i) {
    Dim& part = i < first ? b.outer : i <= last ? b.reduce : b.inner;
    part = part * shape[i];
  }
  return b;
}

// Maximal runs of reduced axes; axes of extent 1 belong to any run.
std::vector<std::pair<size_t, size_t>> runs_of(const Shape& shape, std::vector<int64_t> axes) {
  const auto rank = static_cast<int64_t>(shape.size());
  std::vector<bool> reduced(shape.size(), axes.empty());
  for (int64_t a : axes) reduced[static_cast<size_t>(a < 0 ? a + rank : a)] = true;
  std::vector<std::pair<size_t, size_t>> runs;
  bool open = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool unit = shape[i] == Dim(1);
    if (reduced[i] || (unit && open)) {
      if (!open) runs.emplace_back(i, i);
      runs.back().second = i;
      open = true;
    } else {
      open = false;
    }
  }
  return runs;
}

ReduceOp op_of(absl::string_view name) {
  if (name == "reduce_prod") return ReduceOp::kProd;
  if (name == "reduce_max" || name == "reduce_any") return ReduceOp::kMax;
  if (name == "reduce_min" || name == "reduce_all") return ReduceOp::kMin;
  return ReduceOp::kSum;
}

StepRecipe reduce_step(const ReduceScalars& plan, const Dim& outer, const Dim& reduce,
                       const Dim& inner, const Dim& divisor, StepOperand from, StepOperand to) {
  ScalarFields<ReduceScalars> fields(plan);
  fields.set(&ReduceScalars::outer, outer);
  fields.set(&ReduceScalars::reduce, reduce);
  fields.set(&ReduceScalars::inner, inner);
  fields.set(&ReduceScalars::divisor, divisor);
  StepRecipe step;
  step.kernel = "cpu.reduce";
  step.outputs = {to};
  step.inputs = {from};
  step.scalars = fields.take();
  const Dim parts = max(Dim(1), ceil_div(reduce, Dim(plan.rows_per_part)));
  const Dim units = outer * parts * ceil_div(inner, Dim(kReduceColumns));
  step.chunks = ceil_div(units, Dim(plan.units_per_chunk));
  return step;
}

// Elements that one unit of an arg-reduction or a running sum walks over, at most.
int64_t work_of_unit(const RecipeSite& site, const ReduceBlock& b) {
  const int64_t columns = std::min<int64_t>(site.max(b.inner), kArgColumns);
  return std::max<int64_t>(1, checked_product(site.max(b.reduce), columns));
}

}  // namespace

void add_reduction(const RecipeSite& site, NodeRecipe& recipe, const ReduceBlock& b,
                   StepOperand from, StepOperand to) {
  const ReducePlan plan = plan_reduce(ReduceOp::kSum, DType::kF32, site.max(b.outer),
                                      site.max(b.reduce), site.max(b.inner), /*mean=*/false);
  if (!plan.combines) {
    recipe.steps.push_back(reduce_step(plan.first, b.outer, b.reduce, b.inner, 1, from, to));
    return;
  }
  const Dim parts = ceil_div(b.reduce, Dim(plan.first.rows_per_part));
  const StepOperand partial = add_temporary(
      recipe, b.outer * parts * b.inner * (bits_of(static_cast<DType>(plan.first.dtype_out)) / 8));
  recipe.steps.push_back(reduce_step(plan.first, b.outer, b.reduce, b.inner, 1, from, partial));
  recipe.steps.push_back(reduce_step(plan.combine, b.outer, parts, b.inner, 1, partial, to));
}

absl::StatusOr<NodeRecipe> reduce_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<ReduceAttributes>();
  const bool mean = site.node.op->name == "reduce_mean";
  const ReduceOp op = op_of(site.node.op->name);
  const DType dtype = site.in(0).dtype;
  if (bits_of(dtype) < 8) return no_kernel(site, "packed elements");
  Shape shape = site.in(0).shape;
  std::vector<std::pair<size_t, size_t>> runs = runs_of(shape, a.axes);
  if (runs.empty()) runs.emplace_back(0, 0);  // a scalar, or nothing to reduce
  if (shape.empty()) shape.push_back(1);

  Dim count = 1;
  for (const auto& [first, last] : runs) count = count * block_of(shape, first, last).reduce;
  NodeRecipe recipe;
  StepOperand from{StepOperand::Kind::kInput, 0};
  DType current = dtype;
  // The innermost run first; each leaves an axis of extent 1 behind.
  for (size_t r = runs.size(); r-- > 0;) {
    const auto [first, last] = runs[r];
    const ReduceBlock b = block_of(shape, first, last);
    const bool is_last = r == 0;
    ReducePlan plan =
        plan_reduce(op, current, site.max(b.outer), site.max(b.reduce), site.max(b.inner),
                    mean && is_last, a.accumulate.value_or(DType::kInvalid));
    // Floats stay as wide as they are summed until the last run.
    const DType result =
        is_last || !is_floating(dtype) ? dtype : static_cast<DType>(plan.first.dtype_accumulate);
    StepOperand to{StepOperand::Kind::kOutput, 0};
    const auto temporary = [&](const Dim& elements, DType type) {
      return add_temporary(recipe, elements * (bits_of(type) / 8));
    };
    if (!is_last) to = temporary(b.outer * b.inner, result);
    const Dim divisor = mean && is_last ? count : Dim(1);
    if (plan.combines) {
      const Dim parts = max(Dim(1), ceil_div(b.reduce, Dim(plan.first.rows_per_part)));
      const StepOperand partial =
          temporary(b.outer * parts * b.inner, static_cast<DType>(plan.first.dtype_out));
      plan.combine.dtype_out = static_cast<int64_t>(result);
      recipe.steps.push_back(reduce_step(plan.first, b.outer, b.reduce, b.inner, 1, from, partial));
      recipe.steps.push_back(
          reduce_step(plan.combine, b.outer, parts, b.inner, divisor, partial, to));
    } else {
      plan.first.dtype_out = static_cast<int64_t>(result);
      recipe.steps.push_back(
          reduce_step(plan.first, b.outer, b.reduce, b.inner, divisor, from, to));
    }
    for (size_t i = first; i <= last; ++i) shape[i] = 1;
    from = to;
    current = result;
  }
  return recipe;
}

absl::StatusOr<NodeRecipe> arg_reduce_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<ArgReduceAttributes>();
  const Shape& shape = site.in(0).shape;
  if (shape.empty() || site.in(0).dtype == DType::kBool) {
    return no_kernel(site, "no arg-reduction of this type or rank");
  }
  const auto axis = static_cast<size_t>(a.axis < 0 ? a.axis + site.in(0).rank() : a.axis);
  const ReduceBlock b = block_of(shape, axis, axis);
  ArgReduceScalars scalars;
  scalars.smallest = site.node.op->name == "argmin";
  scalars.dtype = static_cast<int64_t>(site.in(0).dtype);
  const int64_t work = work_of_unit(site, b);
  scalars.units_per_chunk = std::max<int64_t>(1, 65536 / work);
  ScalarFields<ArgReduceScalars> fields(scalars);
  fields.set(&ArgReduceScalars::outer, b.outer);
  fields.set(&ArgReduceScalars::reduce, b.reduce);
  fields.set(&ArgReduceScalars::inner, b.inner);
  StepRecipe step;
  step.kernel = "cpu.arg_reduce";
  step.outputs = all_outputs(site);
  step.inputs = all_inputs(site);
  step.scalars = fields.take();
  step.chunks =
      ceil_div(b.outer * ceil_div(b.inner, Dim(kArgColumns)), Dim(scalars.units_per_chunk));
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

absl::StatusOr<NodeRecipe> cumsum_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<CumsumAttributes>();
  const Shape& shape = site.in(0).shape;
  if (shape.empty()) return no_kernel(site, "a scalar has no axis");
  const auto axis = static_cast<size_t>(a.axis < 0 ? a.axis + site.in(0).rank() : a.axis);
  const ReduceBlock b = block_of(shape, axis, axis);
  CumsumScalars scalars;
  scalars.dtype = static_cast<int64_t>(site.in(0).dtype);
  scalars.exclusive = a.exclusive;
  scalars.reverse = a.reverse;
  const int64_t work = work_of_unit(site, b);
  scalars.units_per_chunk = std::max<int64_t>(1, 32768 / work);
  ScalarFields<CumsumScalars> fields(scalars);
  fields.set(&CumsumScalars::outer, b.outer);
  fields.set(&CumsumScalars::axis, b.reduce);
  fields.set(&CumsumScalars::inner, b.inner);
  StepRecipe step;
  step.kernel = "cpu.cumsum";
  step.outputs = all_outputs(site);
  step.inputs = all_inputs(site);
  step.scalars = fields.take();
  step.chunks =
      ceil_div(b.outer * ceil_div(b.inner, Dim(kArgColumns)), Dim(scalars.units_per_chunk));
  step.in_place = {{0, 0}};
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace modellib::cpu
