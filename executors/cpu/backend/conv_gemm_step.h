// The step that runs "cpu.conv_f32", for convolutions and for what becomes one.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_CONV_GEMM_STEP_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_CONV_GEMM_STEP_H_

#include <vector>

#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/graph/dim.h"
#include "modellib/passes/backend.h"

namespace modellib::cpu {

// Without operands, for images of these spatial extents, at most three. Of `scalars` all is set but
// the batch, the extents and the grains; its arrays are right-aligned.
StepRecipe conv_gemm_step(const RecipeSite& site, ConvGemmScalars scalars, const Dim& batch,
                          const std::vector<Dim>& in, const std::vector<Dim>& out);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_CONV_GEMM_STEP_H_
