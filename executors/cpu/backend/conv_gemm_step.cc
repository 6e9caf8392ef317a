#include "modellib/executors/cpu/backend/conv_gemm_step.h"

#include <iterator>

#include "modellib/executors/cpu/backend/scalar_fields.h"

namespace modellib::cpu {

StepRecipe conv_gemm_step(const RecipeSite& site, ConvGemmScalars scalars, const Dim& batch,
                          const std::vector<Dim>& in, const std::vector<Dim>& out) {
  using S = ConvGemmScalars;
  const size_t skip = std::size(scalars.in) - in.size();
  scalars.batch = site.max(batch);
  for (size_t d = 0; d < in.size(); ++d) {
    scalars.in[skip + d] = site.max(in[d]);
    scalars.out[skip + d] = site.max(out[d]);
  }
  choose_conv_gemm_grain(scalars);
  ScalarFields<S> fields(scalars);
  fields.set(&S::batch, batch);
  Dim rows = batch;
  for (size_t d = 0; d < in.size(); ++d) {
    fields.set(&S::in, skip + d, in[d]);
    fields.set(&S::out, skip + d, out[d]);
    rows = rows * out[d];
  }
  StepRecipe step;
  step.kernel = "cpu.conv_f32";
  step.scalars = fields.take();
  step.chunks =
      ceil_div(rows, Dim(scalars.m_grain)) *
      (scalars.groups * ((conv_gemm_width(scalars) + scalars.n_grain - 1) / scalars.n_grain));
  return step;
}

}  // namespace modellib::cpu
