// Ops that find elements by number.
#include <algorithm>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/indexing.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/index.h"
#include "modellib/ops/shape.h"

namespace modellib::cpu {
namespace {

size_t axis_of(int64_t axis, int rank) {
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

Dim product(const Shape& shape, size_t first, size_t last) {
  Dim p = 1;
  for (size_t i = first; i < last; ++i) p = p * shape[i];
  return p;
}

NodeRecipe one(const RecipeSite& site, const char* kernel, std::vector<Dim> scalars, Dim chunks) {
  StepRecipe step;
  step.kernel = kernel;
  step.outputs = all_outputs(site);
  step.inputs = all_inputs(site);
  step.scalars = std::move(scalars);
  step.chunks = std::move(chunks);
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

Dim byte_size(const TensorType& type) {
  return element_count(type.shape) * (bits_of(type.dtype) / 8);
}

// For kernels that change their first operand: it is copied to the output, unless it already lies
// there because nobody else wants it any more, and changed there.
NodeRecipe change_in_place(const RecipeSite& site, NodeRecipe recipe) {
  StepRecipe copy = copy_bytes(byte_size(site.out(0)));
  copy.outputs = {{StepOperand::Kind::kOutput, 0}};
  copy.inputs = {{StepOperand::Kind::kInput, 0}};
  recipe.steps[0].inputs[0] = {StepOperand::Kind::kOutput, 0};
  recipe.steps.insert(recipe.steps.begin(), std::move(copy));
  return recipe;
}

}  // namespace

absl::StatusOr<NodeRecipe> gather_recipe(const RecipeSite& site) {
  const TensorType &data = site.in(0), &indices = site.in(1);
  const size_t axis = axis_of(site.node.attributes.as<AxisAttributes>().axis, data.rank());
  if (bits_of(data.dtype) % 8 != 0) return no_kernel(site, "packed elements");
  const Dim outer = product(data.shape, 0, axis);
  const Dim inner = product(data.shape, axis + 1, data.shape.size());
  const Dim count = element_count(indices.shape);
  GatherScalars scalars;
  scalars.element_bytes = bits_of(data.dtype) / 8;
  scalars.index_bytes = bits_of(indices.dtype) / 8;
  scalars.outer = site.max(outer);
  scalars.axis = site.max(data.shape[axis]);
  scalars.indices = site.max(count);
  scalars.inner = site.max(inner);
  choose_gather_grain(scalars);
  ScalarFields<GatherScalars> fields(scalars);
  fields.set(&GatherScalars::outer, outer);
  fields.set(&GatherScalars::axis, data.shape[axis]);
  fields.set(&GatherScalars::indices, count);
  fields.set(&GatherScalars::inner, inner);
  return one(site, "cpu.gather", fields.take(), ceil_div(outer * count, Dim(scalars.per_chunk)));
}

absl::StatusOr<NodeRecipe> scatter_add_recipe(const RecipeSite& site) {
  const TensorType &data = site.in(0), &indices = site.in(1);
  const size_t axis = axis_of(site.node.attributes.as<AxisAttributes>().axis, data.rank());
  if (bits_of(data.dtype) % 8 != 0) return no_kernel(site, "packed elements");
  const Dim outer = product(data.shape, 0, axis);
  const Dim inner = product(data.shape, axis + 1, data.shape.size());
  const Dim count = element_count(indices.shape);
  ScatterAddScalars scalars;
  scalars.dtype = static_cast<int64_t>(data.dtype);
  scalars.index_bytes = bits_of(indices.dtype) / 8;
  scalars.outer = site.max(outer);
  scalars.axis = site.max(data.shape[axis]);
  scalars.indices = site.max(count);
  scalars.inner = site.max(inner);
  choose_scatter_grain(scalars);
  ScalarFields<ScatterAddScalars> fields(scalars);
  fields.set(&ScatterAddScalars::outer, outer);
  fields.set(&ScatterAddScalars::axis, data.shape[axis]);
  fields.set(&ScatterAddScalars::indices, count);
  fields.set(&ScatterAddScalars::inner, inner);
  NodeRecipe recipe = one(site, "cpu.scatter_add", fields.take(),
                          outer * ceil_div(data.shape[axis], Dim(scalars.rows_per_chunk)));
  recipe.steps[0].in_place = {{0, 0}};
  return recipe;
}

absl::StatusOr<NodeRecipe> gather_elements_recipe(const RecipeSite& site) {
  const TensorType &data = site.in(0), &indices = site.in(1);
  if (bits_of(data.dtype) % 8 != 0 || data.rank() > kIndexDims) {
    return no_kernel(site, "packed elements or too many axes");
  }
  const size_t axis = axis_of(site.node.attributes.as<AxisAttributes>().axis, data.rank());
  GatherElementsScalars scalars;
  scalars.element_bytes = bits_of(data.dtype) / 8;
  scalars.index_bytes = bits_of(indices.dtype) / 8;
  ScalarFields<GatherElementsScalars> fields(scalars);
  const std::vector<Dim> strides = dense_strides(data.shape);
  const size_t skip = kIndexDims - strides.size();
  for (size_t i = 0; i < strides.size(); ++i) {
    fields.set(&GatherElementsScalars::extent, skip + i, indices.shape[i]);
    fields.set(&GatherElementsScalars::data_stride, skip + i, i == axis ? Dim(0) : strides[i]);
  }
  fields.set(&GatherElementsScalars::axis_extent, data.shape[axis]);
  fields.set(&GatherElementsScalars::axis_stride, strides[axis]);
  return one(site, "cpu.gather_elements", fields.take(),
             ceil_div(element_count(indices.shape), Dim(scalars.per_chunk)));
}

absl::StatusOr<NodeRecipe> scatter_elements_recipe(const RecipeSite& site) {
  const auto& a = site.node.attributes.as<ScatterElementsAttributes>();
  const TensorType &data = site.in(0), &indices = site.in(1);
  if (bits_of(data.dtype) % 8 != 0 || data.rank() > kIndexDims) {
    return no_kernel(site, "packed elements or too many axes");
  }
  const size_t axis = axis_of(a.axis, data.rank());
  ScatterElementsScalars scalars;
  scalars.dtype = static_cast<int64_t>(data.dtype);
  scalars.index_bytes = bits_of(indices.dtype) / 8;
  scalars.add = a.reduction == "add";
  ScalarFields<ScatterElementsScalars> fields(scalars);
  const std::vector<Dim> strides = dense_strides(data.shape);
  const size_t skip = kIndexDims - strides.size();
  for (size_t i = 0; i < strides.size(); ++i) {
    fields.set(&ScatterElementsScalars::extent, skip + i, indices.shape[i]);
    fields.set(&ScatterElementsScalars::data_stride, skip + i, i == axis ? Dim(0) : strides[i]);
  }
  fields.set(&ScatterElementsScalars::data_count, element_count(data.shape));
  fields.set(&ScatterElementsScalars::axis_extent, data.shape[axis]);
  fields.set(&ScatterElementsScalars::axis_stride, strides[axis]);
  return change_in_place(site, one(site, "cpu.scatter_elements", fields.take(), 1));
}

absl::StatusOr<NodeRecipe> update_slice_recipe(const RecipeSite& site) {
  const TensorType &data = site.in(0), &update = site.in(1), &start = site.in(2);
  if (bits_of(data.dtype) % 8 != 0) return no_kernel(site, "packed elements");
  const size_t axis = axis_of(site.node.attributes.as<AxisAttributes>().axis, data.rank());
  const Dim outer = product(data.shape, 0, axis);
  const Dim starts = element_count(start.shape);
  UpdateSliceScalars scalars;
  scalars.element_bytes = bits_of(data.dtype) / 8;
  ScalarFields<UpdateSliceScalars> fields(scalars);
  fields.set(&UpdateSliceScalars::outer, outer);
  fields.set(&UpdateSliceScalars::axis, data.shape[axis]);
  fields.set(&UpdateSliceScalars::slice, update.shape[axis]);
  fields.set(&UpdateSliceScalars::inner, product(data.shape, axis + 1, data.shape.size()));
  fields.set(&UpdateSliceScalars::starts, starts);
  // One start for all rows, or one for each row of axis 0.
  fields.set(&UpdateSliceScalars::outer_per_start,
             start.shape.empty() ? outer : product(data.shape, 1, std::max<size_t>(axis, 1)));
  return change_in_place(
      site, one(site, "cpu.update_slice", fields.take(), ceil_div(outer, Dim(scalars.per_chunk))));
}

}  // namespace modellib::cpu
