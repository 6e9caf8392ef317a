// Kernels that find elements by number: gather, scatter-add, gather and scatter by element, update
// of a slice.
//
// Indices are i64 or i32; negative ones count from the end. One that is still out of range is told
// as a fault: gathers then give zeros there, scatters skip it. All operands are dense; extents
// count elements and may vary at run time.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_INDEXING_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_INDEXING_H_

#include <cstdint>

#include "absl/status/status.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// "cpu.gather": output [outer, indices, inner]; inputs data [outer, axis, inner] and indices
// [indices]. chunks = ceil(outer * indices / per_chunk).
struct GatherScalars {
  int64_t element_bytes = 4;  // 1, 2, 4 or 8; static
  int64_t index_bytes = 8;    // 4 or 8; static
  int64_t outer = 1;
  int64_t axis = 0;
  int64_t indices = 0;
  int64_t inner = 1;
  int64_t per_chunk = 1;
};
void choose_gather_grain(GatherScalars& scalars);
int64_t gather_chunks(const GatherScalars& scalars);

// "cpu.scatter_add": output [outer, axis, inner]; inputs data (of the same extents, or absent:
// zeros), indices [indices] and updates [outer, indices, inner]. The output may share its memory
// with data. Each chunk owns `rows_per_chunk` places of the axis, for which it runs through all
// indices, so equal indices add up in their order. chunks = outer * ceil(axis / rows_per_chunk).
struct ScatterAddScalars {
  int64_t dtype = 0;        // DType: f64, f32, f16, bf16 or an integer; static
  int64_t index_bytes = 8;  // static
  int64_t outer = 1;
  int64_t axis = 0;
  int64_t indices = 0;
  int64_t inner = 1;
  int64_t rows_per_chunk = 1;
};
void choose_scatter_grain(ScatterAddScalars& scalars);
int64_t scatter_chunks(const ScatterAddScalars& scalars);

inline constexpr int kIndexDims = 8;

// "cpu.gather_elements": output and indices have extents `extent`; element i reads data with the
// coordinate of the axis replaced by the index. data_stride[d]: elements; that of the axis must
// stand in axis_stride, and 0 in its place. chunks = ceil(product of extents / per_chunk).
struct GatherElementsScalars {
  int64_t element_bytes = 4;  // static
  int64_t index_bytes = 8;    // static
  int64_t extent[kIndexDims] = {1, 1, 1, 1, 1, 1, 1, 1};
  int64_t data_stride[kIndexDims] = {};
  int64_t axis_extent = 0;  // of data
  int64_t axis_stride = 1;
  int64_t per_chunk = 16384;
};

// "cpu.scatter_elements": output [data_count elements]; inputs data (shared with the output, or
// copied first), indices and updates of extents `extent`. add = 0: the last update in C order
// stands; 1: they add up in that order. One chunk.
struct ScatterElementsScalars {
  int64_t dtype = 0;        // DType as above; any of 1, 2, 4, 8 bytes if add is 0; static
  int64_t index_bytes = 8;  // static
  int64_t add = 0;          // static
  int64_t data_count = 0;
  int64_t extent[kIndexDims] = {1, 1, 1, 1, 1, 1, 1, 1};
  int64_t data_stride[kIndexDims] = {};
  int64_t axis_extent = 0;
  int64_t axis_stride = 1;
};

// "cpu.update_slice": output [outer, axis, inner]; inputs x (shared with the output, or copied
// first), update [outer, slice, inner] and start, i64 [outer / outer_per_start]: where each group
// of outer rows is written. chunks = ceil(outer / per_chunk).
struct UpdateSliceScalars {
  int64_t element_bytes = 4;  // static
  int64_t outer = 1;
  int64_t axis = 0;
  int64_t slice = 0;
  int64_t inner = 1;
  int64_t starts = 1;           // elements of start
  int64_t outer_per_start = 1;  // starts * outer_per_start >= outer
  int64_t per_chunk = 1;
};

absl::Status validate_gather(const runtime::StepView& step);
void run_gather(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_scatter_add(const runtime::StepView& step);
void run_scatter_add(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_gather_elements(const runtime::StepView& step);
void run_gather_elements(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_scatter_elements(const runtime::StepView& step);
void run_scatter_elements(const runtime::KernelArgs& args, int64_t chunk);
absl::Status validate_update_slice(const runtime::StepView& step);
void run_update_slice(const runtime::KernelArgs& args, int64_t chunk);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_INDEXING_H_
