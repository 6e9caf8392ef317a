// matmul, and matmul with an epilogue, on the packed kernel; whatever is not f32 on the plain one,
// as are products of f32 that are to be summed in f64 (CpuBackend::computes_in).
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/backend/matmul_problem.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/matmul_epilogue.h"

namespace modellib::cpu {
namespace {

// Strides of the leading axes of an operand, aligned to `rank` axes; 0 where it is broadcast.
std::vector<Dim> leading_strides(const Shape& shape, size_t rank) {
  const std::vector<Dim> dense = dense_strides(shape);
  std::vector<Dim> strides(rank, Dim(0));
  const size_t leading = shape.size() - 2;
  for (size_t i = 0; i < leading; ++i) {
    if (!(shape[i] == Dim(1))) strides[rank - leading + i] = dense[i];
  }
  return strides;
}

MatmulProblem problem_of(const Shape& a, const Shape& b, const Shape& c, bool transpose_a,
                         bool transpose_b) {
  MatmulProblem p;
  p.transpose_a = transpose_a;
  p.transpose_b = transpose_b;
  p.m = c[c.size() - 2];
  p.n = c.back();
  p.k = transpose_a ? a[a.size() - 2] : a.back();
  p.lda = a.back();
  p.ldb = b.back();
  p.ldc = c.back();
  const size_t rank = c.size() - 2;
  const std::vector<Dim> sa = leading_strides(a, rank), sb = leading_strides(b, rank),
                         sc = leading_strides(c, rank);
  for (size_t i = 0; i < rank; ++i) {
    if (c[i] == Dim(1)) continue;
    p.batch.push_back({c[i], sa[i], sb[i], sc[i]});
  }
  // Neighbours that all three step through as one are one.
  for (size_t i = p.batch.size(); i-- > 1;) {
    BatchAxis &outer = p.batch[i - 1], &inner = p.batch[i];
    if (outer.a == inner.a * inner.extent && outer.b == inner.b * inner.extent &&
        outer.c == inner.c * inner.extent) {
      inner.extent = outer.extent * inner.extent;
      p.batch.erase(p.batch.begin() + static_cast<std::ptrdiff_t>(i) - 1);
    }
  }
  // One B for all and dense rows of A: the innermost batch is more rows.
  if (!p.batch.empty() && !transpose_a) {
    const BatchAxis& inner = p.batch.back();
    if (inner.b == Dim(0) && inner.a == p.m * p.lda && inner.c == p.m * p.ldc) {
      p.m = p.m * inner.extent;
      p.batch.pop_back();
    }
  }
  return p;
}

MatmulEpilogueAttributes attributes_of(const Graph::Node& node) {
  if (node.attributes.is<MatmulEpilogueAttributes>()) {
    return node.attributes.as<MatmulEpilogueAttributes>();
  }
  const auto& a = node.attributes.as<MatmulAttributes>();
  return {a.transpose_a, a.transpose_b, "none"};
}

}  // namespace

ResidualAt residual_at(absl::string_view activation, bool after) {
  return after && activation != "none" ? ResidualAt::kAfterActivation
                                       : ResidualAt::kBeforeActivation;
}

std::optional<Activation> activation_of(absl::string_view name) {
  constexpr std::pair<const char*, Activation> kNames[] = {
      {"none", Activation::kNone},
      {"relu", Activation::kRelu},
      {"relu6", Activation::kRelu6},
      {"gelu", Activation::kGeluErf},
      {"gelu_tanh", Activation::kGeluTanh},
      {"silu", Activation::kSilu},
      {"sigmoid", Activation::kSigmoid},
      {"tanh", Activation::kTanh},
      {"hard_swish", Activation::kHardSwish},
      {"hard_sigmoid", Activation::kHardSigmoid},
  };
  for (const auto& [known, activation] : kNames) {
    if (name == known) return activation;
  }
  return std::nullopt;
}

absl::StatusOr<NodeRecipe> matmul_recipe(const RecipeSite& site) {
  if (cpu_backend().computes_in(site.graph, site.node) == DType::kF64)
    return no_kernel(site, "summing in f64 takes operands that the pass widen has made f64");
  const MatmulEpilogueAttributes attributes = attributes_of(site.node);
  const MatmulProblem p = problem_of(site.in(0).shape, site.in(1).shape, site.out(0).shape,
                                     attributes.transpose_a, attributes.transpose_b);
  if (p.batch.size() > 2) return no_kernel(site, "operands broadcast in too many ways");
  if (site.out(0).dtype != DType::kF32) {
    if (site.has(2) || site.has(3) || attributes.activation != "none") {
      return no_kernel(site, "epilogues are for f32");
    }
    return plain_matmul_recipe(site, p);
  }

  MatmulShape shape;
  shape.m = site.max(p.m);
  shape.n = site.max(p.n);
  shape.k = site.max(p.k);
  for (const BatchAxis& axis : p.batch) {
    shape.batch = saturating_product(shape.batch, site.max(axis.extent));
  }
  shape.transpose_a = p.transpose_a;
  shape.transpose_b = p.transpose_b;
  shape.b_shared = std::all_of(p.batch.begin(), p.batch.end(),
                               [](const BatchAxis& axis) { return axis.b == Dim(0); });
  shape.b_constant = shape.b_shared && constant_value(site.graph, site.node.inputs[1]) != nullptr &&
                     p.n.is_static() && p.k.is_static();
  MatmulPlan plan = plan_matmul(shape);
  // A packed layout depends on n and k, so it is only for those that are numbers.
  if (!(p.n.is_static() && p.k.is_static())) {
    plan.pack_step = plan.pack_offline = false;
    plan.b_layout = p.transpose_b ? BLayout::kTransposed : BLayout::kRows;
  }

  NodeRecipe recipe;
  StepOperand b{StepOperand::Kind::kInput, 1};
  const int64_t batches_of_b = shape.b_shared ? 1 : shape.batch;
  if (plan.pack_offline) {
    const MatmulShape captured = shape;
    recipe.constants.push_back(
        {1,
         absl::StrCat("matmul panels ", kPanel, " k-block ", k_block(shape.k), " transposed ",
                      shape.transpose_b),
         [captured](const Tensor& source) -> absl::StatusOr<Tensor> {
           MODELLIB_ASSIGN_OR_RETURN(
               Tensor packed,
               Tensor::zeros(DType::kF32, {packed_b_floats(captured.k, captured.n)}));
           pack_b(captured.k, captured.n, captured.transpose_b, source.as<float>().data(),
                  captured.transpose_b ? captured.k : captured.n,
                  packed.as_mutable<float>().data());
           return packed;
         }});
    b = {StepOperand::Kind::kConstant, 0};
  } else if (plan.pack_step) {
    PackBScalars scalars = pack_b_scalars(shape, plan);
    std::vector<Dim> dims(kPackBScalarCount);
    const auto* numbers = reinterpret_cast<const int64_t*>(&scalars);
    for (int i = 0; i < kPackBScalarCount; ++i) dims[static_cast<size_t>(i)] = numbers[i];
    const auto set = [&](int64_t PackBScalars::*field, const Dim& value) {
      dims[static_cast<size_t>(field_index(field))] = value;
    };
    set(&PackBScalars::ldb, p.ldb);
    set(&PackBScalars::batch0, 1);
    set(&PackBScalars::batch1, 1);
    Dim batches = 1;
    if (!shape.b_shared) {
      const Dim one = packed_b_floats(shape.k, shape.n);
      if (p.batch.size() == 2) {
        set(&PackBScalars::batch0, p.batch[0].extent);
        set(&PackBScalars::b_batch0, p.batch[0].b);
        set(&PackBScalars::packed_batch0, one * p.batch[1].extent);
      }
      set(&PackBScalars::batch1, p.batch.back().extent);
      set(&PackBScalars::b_batch1, p.batch.back().b);
      set(&PackBScalars::packed_batch1, one);
      for (const BatchAxis& axis : p.batch) batches = batches * axis.extent;
    }
    const StepOperand packed =
        add_temporary(recipe, saturating_product(plan.packed_bytes, batches_of_b));
    StepRecipe pack;
    pack.kernel = "cpu.pack_b_f32";
    pack.outputs = {packed};
    pack.inputs = {b};
    pack.scalars = std::move(dims);
    pack.chunks = batches * ((shape.n + plan.pack_n_grain - 1) / plan.pack_n_grain);
    recipe.steps.push_back(std::move(pack));
    b = packed;
  }

  MatmulScalars scalars = matmul_scalars(shape, plan);
  std::vector<Dim> dims(kMatmulScalarCount);
  const auto* numbers = reinterpret_cast<const int64_t*>(&scalars);
  for (int i = 0; i < kMatmulScalarCount; ++i) dims[static_cast<size_t>(i)] = numbers[i];
  const auto set = [&](int64_t MatmulScalars::*field, const Dim& value) {
    dims[static_cast<size_t>(field_index(field))] = value;
  };
  set(&MatmulScalars::m, p.m);
  set(&MatmulScalars::n, p.n);
  set(&MatmulScalars::k, p.k);
  set(&MatmulScalars::lda, p.lda);
  set(&MatmulScalars::ldc, p.ldc);
  set(&MatmulScalars::b_layout, static_cast<int64_t>(plan.b_layout));
  const bool is_packed = plan.b_layout == BLayout::kPacked;
  set(&MatmulScalars::ldb, is_packed ? Dim(0) : p.ldb);
  Dim batches = 1;
  const auto set_batch = [&](int which, const BatchAxis& axis, const Dim& packed_stride) {
    set(which == 0 ? &MatmulScalars::batch0 : &MatmulScalars::batch1, axis.extent);
    set(which == 0 ? &MatmulScalars::a_batch0 : &MatmulScalars::a_batch1, axis.a);
    const Dim b_stride = is_packed ? (axis.b == Dim(0) ? Dim(0) : packed_stride) : axis.b;
    set(which == 0 ? &MatmulScalars::b_batch0 : &MatmulScalars::b_batch1, b_stride);
    set(which == 0 ? &MatmulScalars::c_batch0 : &MatmulScalars::c_batch1, axis.c);
    batches = batches * axis.extent;
  };
  for (int which = 0; which < 2; ++which) {
    set_batch(which, {1, 0, 0, 0}, 0);
  }
  const Dim one = is_packed ? Dim(packed_b_floats(shape.k, shape.n)) : Dim(0);
  if (p.batch.size() == 2) set_batch(0, p.batch[0], one * p.batch[1].extent);
  if (!p.batch.empty()) set_batch(1, p.batch.back(), one);

  StepRecipe step;
  step.kernel = "cpu.matmul_f32";
  step.outputs = {{StepOperand::Kind::kOutput, 0}};
  step.inputs = {{StepOperand::Kind::kInput, 0}, b, {}, {}};
  set(&MatmulScalars::activation, static_cast<int64_t>(*activation_of(attributes.activation)));
  if (site.has(2)) {
    set(&MatmulScalars::bias_axis, static_cast<int64_t>(BiasAxis::kN));
    step.inputs[2] = {StepOperand::Kind::kInput, 2};
  }
  if (site.has(3)) {
    const ResidualAt at = residual_at(attributes.activation, attributes.residual_after);
    set(&MatmulScalars::residual, static_cast<int64_t>(at));
    set(&MatmulScalars::ld_residual, p.ldc);
    if (p.batch.size() == 2) set(&MatmulScalars::residual_batch0, p.batch[0].c);
    if (!p.batch.empty()) set(&MatmulScalars::residual_batch1, p.batch.back().c);
    step.inputs[3] = {StepOperand::Kind::kInput, 3};
    if (at == ResidualAt::kBeforeActivation) step.in_place = {{0, 3}};
  }
  step.scalars = std::move(dims);
  step.chunks = batches * ceil_div(p.m, Dim(plan.m_grain)) * ceil_div(p.n, Dim(plan.n_grain));
  step.workspace_bytes = plan.workspace_bytes;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

}  // namespace modellib::cpu
