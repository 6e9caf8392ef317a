// Products of other types than f32, and sorting, on plain kernels.
#include <algorithm>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/backend/matmul_problem.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/plain.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/index.h"

namespace modellib::cpu {

absl::StatusOr<NodeRecipe> plain_matmul_recipe(const RecipeSite& site, const MatmulProblem& p) {
  if (bits_of(site.out(0).dtype) % 8 != 0) return no_kernel(site, "packed elements");
  PlainMatmulScalars scalars;
  scalars.dtype = static_cast<int64_t>(site.out(0).dtype);
  const int64_t work = std::max<int64_t>(1, checked_product(site.max(p.n), site.max(p.k)));
  scalars.rows_per_chunk = std::max<int64_t>(1, (int64_t{1} << 18) / work);
  ScalarFields<PlainMatmulScalars> fields(scalars);
  fields.set(&PlainMatmulScalars::m, p.m);
  fields.set(&PlainMatmulScalars::n, p.n);
  fields.set(&PlainMatmulScalars::k, p.k);
  Dim batches = 1;
  const size_t skip = 2 - p.batch.size();
  for (size_t i = 0; i < p.batch.size(); ++i) {
    fields.set(skip + i == 0 ? &PlainMatmulScalars::batch0 : &PlainMatmulScalars::batch1,
               p.batch[i].extent);
    fields.set(&PlainMatmulScalars::a_stride, skip + i, p.batch[i].a);
    fields.set(&PlainMatmulScalars::b_stride, skip + i, p.batch[i].b);
    fields.set(&PlainMatmulScalars::c_stride, skip + i, p.batch[i].c);
    batches = batches * p.batch[i].extent;
  }
  fields.set(&PlainMatmulScalars::a_stride, 2, p.transpose_a ? Dim(1) : p.lda);
  fields.set(&PlainMatmulScalars::a_stride, 3, p.transpose_a ? p.lda : Dim(1));
  fields.set(&PlainMatmulScalars::b_stride, 2, p.transpose_b ? Dim(1) : p.ldb);
  fields.set(&PlainMatmulScalars::b_stride, 3, p.transpose_b ? p.ldb : Dim(1));
  fields.set(&PlainMatmulScalars::c_stride, 2, p.ldc);
  fields.set(&PlainMatmulScalars::c_stride, 3, Dim(1));
  StepRecipe step;
  step.kernel = "cpu.plain_matmul";
  step.outputs = {{StepOperand::Kind::kOutput, 0}};
  step.inputs = {{StepOperand::Kind::kInput, 0}, {StepOperand::Kind::kInput, 1}};
  step.scalars = fields.take();
  step.chunks = ceil_div(batches * p.m, Dim(scalars.rows_per_chunk));
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

absl::StatusOr<NodeRecipe> sort_recipe(const RecipeSite& site) {
  const bool top_k = site.node.op->name == "top_k";
  const TensorType& x = site.in(0);
  if (x.shape.empty() || bits_of(x.dtype) % 8 != 0) return no_kernel(site, "nothing to sort");
  int64_t axis;
  PlainSortScalars scalars;
  scalars.dtype = static_cast<int64_t>(x.dtype);
  if (top_k) {
    const auto& a = site.node.attributes.as<TopKAttributes>();
    axis = a.axis;
    scalars.descending = a.largest;
  } else {
    const auto& a = site.node.attributes.as<SortAttributes>();
    axis = a.axis;
    scalars.descending = a.descending;
  }
  const auto at = static_cast<size_t>(axis < 0 ? axis + x.rank() : axis);
  Dim outer = 1, inner = 1;
  for (size_t i = 0; i < at; ++i) outer = outer * x.shape[i];
  for (size_t i = at + 1; i < x.shape.size(); ++i) inner = inner * x.shape[i];
  // No more than the kernel takes.
  const int64_t longest = std::clamp<int64_t>(site.max(x.shape[at]), 1, kMaxElements);
  scalars.lines_per_chunk = std::max<int64_t>(1, 8192 / longest);
  ScalarFields<PlainSortScalars> fields(scalars);
  fields.set(&PlainSortScalars::outer, outer);
  fields.set(&PlainSortScalars::axis, x.shape[at]);
  fields.set(&PlainSortScalars::inner, inner);
  fields.set(&PlainSortScalars::k, site.out(0).shape[at]);
  StepRecipe step;
  step.kernel = "cpu.plain_sort";
  step.outputs = all_outputs(site);
  step.inputs = all_inputs(site);
  step.scalars = fields.take();
  step.chunks = ceil_div(outer * inner, Dim(scalars.lines_per_chunk));
  step.workspace_bytes = step.chunks * sort_workspace(longest);
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace modellib::cpu
