// Matmul of float32, the function layer: chunks of a matmul and of the packing of B, on raw
// pointers. What the numbers mean is in matmul_params.h; the kernels of the runtime
// (matmul_kernels.h) check them and call this.
//
// The algorithm is Goto's (Goto and van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication", 2008) in the form of BLIS: a micro-kernel keeps a tile of C in registers and
// runs down a block of k; B is read as panels of 16 columns, packed ahead or in place; A's rows are
// read in place or copied to the stack, where their distance suits the cache. The micro-kernel's
// tile is 6x16 with AVX2 and 6x64 with AVX-512, wider and lower where m is small.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_H_

#include <cstdint>

#include "modellib/executors/cpu/kernels/matmul_params.h"

namespace modellib::cpu {

// Computes chunk `chunk` of matmul_chunks(s); a larger number does nothing. `bias` and `residual`
// are read only where `s` has them. Thread-safe for distinct chunks.
void matmul_chunk(const MatmulScalars& s, const float* a, const float* b, const float* bias,
                  const float* residual, float* c, int64_t chunk);

// Rows of A that lie nowhere as a matrix (what the windows of a convolution see). Where they are
// long runs of floats in memory they are read there, by way of pointers; else they are copied when
// they are needed.
struct RowSource {
  // Writes rows [m0, m0 + rows) and columns [k0, k0 + columns) of A, rows `stride` floats apart.
  void (*copy)(const void* context, int64_t m0, int64_t rows, int64_t k0, int64_t columns,
               float* to, int64_t stride);
  // The runs of these rows that hold some of these columns, one after another: writes where the
  // first such column of run i of row m0 + r is to `to[i * stride + r]`. What is behind it in the
  // run, of these columns, can be read. `scratch`, of rows * columns floats, is for runs that have
  // to be copied after all.
  void (*find)(const void* context, int64_t m0, int64_t rows, int64_t k0, int64_t columns,
               const float** to, int64_t stride, float* scratch);
  // Floats of a run: columns [i * run, (i + 1) * run) of a row lie together. From kLeastRun on
  // `find` is used, below `copy`.
  int64_t run;
  const void* context;
};
inline constexpr int64_t kLeastRun = 8;
// As matmul_chunk for such an A, with the same bits. B must be packed; of the batch there is one
// element; what `s` says of A's memory is not read. Takes kGatheredStackBytes of stack.
void matmul_gathered_chunk(const MatmulScalars& s, const RowSource& a, const float* b,
                           const float* bias, const float* residual, float* c, int64_t chunk);
inline constexpr int64_t kGatheredStackBytes = 192 * 1024;

// y = act(y) of `count` floats, with the bits that a matmul's epilogue gives: for what another
// library has computed.
void apply_activation(Activation activation, float* y, int64_t count);

// Packs chunk `chunk` of pack_b_chunks(s); a larger number does nothing.
void pack_b_chunk(const PackBScalars& s, const float* b, float* packed, int64_t chunk);

// Packs one whole matrix: B is [k, n], or [n, k] where `transposed`, with rows `ldb` floats apart;
// `packed` has packed_b_floats(k, n).
void pack_b(int64_t k, int64_t n, bool transposed, const float* b, int64_t ldb, float* packed);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_MATMUL_H_
