#include "modellib/executors/cpu/backend/winograd_recipe.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/kernels/winograd.h"

namespace modellib::cpu {
namespace {

class WinogradSteps {
 public:
  WinogradSteps(const RecipeSite& site, const WinogradProblem& p)
      : site_(site),
        p_(p),
        tiles_(p.batch * (winograd_tiles(p.out[0]) * winograd_tiles(p.out[1]))) {}

  NodeRecipe take() {
    const int64_t in = p_.in_channels, out = p_.out_channels;
    seen_ = add_temporary(recipe_, tile_bytes(in));
    products_ = add_temporary(recipe_, tile_bytes(out));
    filter_ = add_constant(
        recipe_, 1, absl::StrCat("winograd 4x4, panels ", kPanel, " k-block ", k_block(in)),
        [in, out](absl::Span<const float> f) { return pack_winograd_filter(in, out, f); });
    add_input_transform();
    add_products();
    add_output_transform();
    return std::move(recipe_);
  }

 private:
  Dim tile_bytes(int64_t channels) const {
    return tiles_ * (kWinogradPlaces * channels * static_cast<int64_t>(sizeof(float)));
  }
  int64_t grain(int64_t channels) const {
    return winograd_tiles_per_chunk(site_.max(tiles_), channels);
  }

  void add_input_transform() {
    using S = WinogradInScalars;
    S s;
    std::copy_n(p_.in, 2, s.in);
    std::copy_n(p_.out, 2, s.out);
    std::copy_n(p_.pad_low, 2, s.pad_low);
    s.channels = p_.in_channels;
    s.tiles_per_chunk = grain(s.channels);
    ScalarFields<S> fields(s);
    fields.set(&S::batch, p_.batch);
    StepRecipe step;
    step.kernel = "cpu.winograd_in_f32";
    step.inputs = {input_operand(0)};
    step.outputs = {seen_};
    step.scalars = fields.take();
    step.chunks = ceil_div(tiles_, Dim(s.tiles_per_chunk));
    recipe_.steps.push_back(std::move(step));
  }

  void add_products() {
    MatmulShape shape;
    shape.m = site_.max(tiles_);
    shape.n = p_.out_channels;
    shape.k = p_.in_channels;
    shape.batch = kWinogradPlaces;
    shape.b_constant = true;
    shape.b_shared = false;
    const MatmulPlan plan = plan_matmul(shape);
    MatmulScalars s = matmul_scalars(shape, plan);
    s.residual_batch1 = 0;
    ScalarFields<MatmulScalars> fields(s);
    fields.set(&MatmulScalars::m, tiles_);
    fields.set(&MatmulScalars::a_batch1, tiles_ * p_.in_channels);
    fields.set(&MatmulScalars::c_batch1, tiles_ * p_.out_channels);
    StepRecipe step;
    step.kernel = "cpu.matmul_f32";
    step.inputs = {seen_, filter_, {}, {}};
    step.outputs = {products_};
    step.scalars = fields.take();
    step.chunks = ceil_div(tiles_, Dim(plan.m_grain)) *
                  (kWinogradPlaces * ((shape.n + plan.n_grain - 1) / plan.n_grain));
    recipe_.steps.push_back(std::move(step));
  }

  void add_output_transform() {
    using S = WinogradOutScalars;
    S s;
    std::copy_n(p_.out, 2, s.out);
    s.channels = p_.out_channels;
    s.tiles_per_chunk = grain(s.channels);
    s.low = p_.low;
    s.high = p_.high;
    s.residual_after = p_.residual == ResidualAt::kAfterActivation;
    ScalarFields<S> fields(s);
    fields.set(&S::batch, p_.batch);
    StepRecipe step;
    step.kernel = "cpu.winograd_out_f32";
    step.inputs = {products_, p_.has_bias ? input_operand(2) : StepOperand{},
                   p_.residual != ResidualAt::kNone ? input_operand(3) : StepOperand{}};
    step.outputs = {output_operand()};
    step.scalars = fields.take();
    step.chunks = ceil_div(tiles_, Dim(s.tiles_per_chunk));
    if (p_.residual != ResidualAt::kNone) step.in_place = {{0, 2}};
    recipe_.steps.push_back(std::move(step));
  }

  const RecipeSite& site_;
  const WinogradProblem& p_;
  Dim tiles_;
  NodeRecipe recipe_;
  StepOperand seen_, products_;  // tiles, before and behind the products
  StepOperand filter_;
};

}  // namespace

NodeRecipe winograd_recipe(const RecipeSite& site, const WinogradProblem& problem) {
  return WinogradSteps(site, problem).take();
}

}  // namespace modellib::cpu
