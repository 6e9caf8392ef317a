#include "modellib/executors/cpu/kernels/registry.h"

#include "modellib/executors/cpu/kernels/attention.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/copy_bytes.h"
#include "modellib/executors/cpu/kernels/depthwise.h"
#include "modellib/executors/cpu/kernels/dim_values.h"
#include "modellib/executors/cpu/kernels/indexing.h"
#include "modellib/executors/cpu/kernels/matmul_kernels.h"
#include "modellib/executors/cpu/kernels/plain.h"
#include "modellib/executors/cpu/kernels/plain_conv.h"
#include "modellib/executors/cpu/kernels/pool.h"
#include "modellib/executors/cpu/kernels/reduce.h"
#include "modellib/executors/cpu/kernels/strided.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/executors/cpu/kernels/winograd.h"

namespace modellib::cpu {

absl::Span<const runtime::Kernel> cpu_kernels() {
  static const runtime::Kernel kKernels[] = {
      kCopyBytes,
      {"cpu.dim_values", validate_dim_values, run_dim_values},
      kMatmulF32,
      kPackBF32,
      {kTileKernelName, validate_tile_step, run_tile_chunk},
      {"cpu.reduce", validate_reduce, run_reduce},
      {"cpu.arg_reduce", validate_arg_reduce, run_arg_reduce},
      {"cpu.cumsum", validate_cumsum, run_cumsum},
      {"cpu.copy", validate_copy, run_copy},
      {"cpu.pad", validate_pad, run_pad},
      {"cpu.gather", validate_gather, run_gather},
      {"cpu.scatter_add", validate_scatter_add, run_scatter_add},
      {"cpu.gather_elements", validate_gather_elements, run_gather_elements},
      {.name = "cpu.scatter_elements",
       .validate = validate_scatter_elements,
       .run = run_scatter_elements,
       .plain = true},
      {"cpu.update_slice", validate_update_slice, run_update_slice},
      {"cpu.pool", validate_pool, run_pool},
      {"cpu.attention_f32", validate_attention, run_attention},
      {"cpu.attention_grad_f32", validate_attention_grad, run_attention_grad},
      {"cpu.conv_f32", validate_conv_gemm, run_conv_gemm},
      {"cpu.depthwise_f32", validate_depthwise, run_depthwise},
      {"cpu.winograd_in_f32", validate_winograd_in, run_winograd_in},
      {"cpu.winograd_out_f32", validate_winograd_out, run_winograd_out},
      {"cpu.conv2d", validate_conv, run_conv, initialise_conv, /*may_allocate=*/true},
      {"cpu.fold_in", validate_fold_in, run_fold_in},
      {.name = "cpu.plain_matmul",
       .validate = validate_plain_matmul,
       .run = run_plain_matmul,
       .plain = true},
      {.name = "cpu.plain_sort",
       .validate = validate_plain_sort,
       .run = run_plain_sort,
       .plain = true},
      {.name = "cpu.plain_conv",
       .validate = validate_plain_conv,
       .run = run_plain_conv,
       .plain = true},
  };
  return kKernels;
}

const runtime::KernelTable& cpu_kernel_table() {
  // The list holds no name twice, so that the table can be made; it is never destroyed.
  static const auto* const table =
      new runtime::KernelTable(runtime::KernelTable::create({cpu_kernels()}).value());
  return *table;
}

}  // namespace modellib::cpu
