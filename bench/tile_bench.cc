// What fused regions cost, in nanoseconds an element on one core, cache-resident unless said: gelu,
// softmax and layer norm by row length, dropout, Adam over 64 MB of state.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "modellib/executors/cpu/kernels/tile_builder.h"
#include "modellib/executors/cpu/kernels/tile_program.h"

namespace modellib::cpu {
namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Median seconds of a run of the whole step on this thread.
double time_step(const std::vector<std::byte>& program, const TileScalars& scalars, int64_t chunks,
                 const std::vector<std::byte*>& buffers) {
  const auto flat = scalars.flatten();
  runtime::Fault fault;
  const runtime::KernelArgs args = {buffers.data(), flat.data(), program.data(), nullptr, &fault};
  std::vector<double> times;
  const double until = seconds() + 0.4;
  while (seconds() < until || times.size() < 5) {
    const double start = seconds();
    for (int64_t c = 0; c < chunks; ++c) run_tile_chunk(args, c);
    times.push_back(seconds() - start);
  }
  std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2),
                   times.end());
  return times[times.size() / 2];
}

struct Region {
  TileProgramBuilder builder;
  int inputs = 0;
  int outputs = 0;
};

void report(const char* name, Region& region, int64_t rows, int64_t cols) {
  const auto bytes = region.builder.encode(region.outputs);
  if (!bytes.ok()) {
    std::printf("%s: %s\n", name, bytes.status().ToString().c_str());
    return;
  }
  const TileView view = *parse_tile_program(*bytes);
  const TileSplit split = choose_tile_split(rows, cols, tile_needs_whole_rows(view),
                                            static_cast<int>(view.instructions.size()));
  TileScalars scalars;
  scalars.rows_per_chunk = split.rows_per_chunk;
  scalars.cols_per_chunk = split.cols_per_chunk;
  if (view.header->row_dims == 1) scalars.rows = {rows};
  scalars.cols = cols;
  for (int m = 0; m < view.header->maps; ++m) {
    TileScalars::Map map;
    if (view.header->row_dims == 1) map.row_strides = {cols};
    scalars.maps.push_back(map);
  }
  scalars.user.assign(view.header->user_scalars, 42);
  std::vector<std::vector<float>> memory;
  std::vector<std::byte*> buffers;
  for (int i = 0; i < region.outputs + region.inputs; ++i) {
    memory.emplace_back(static_cast<size_t>(rows * cols));
    for (size_t e = 0; e < memory.back().size(); ++e)
      memory.back()[e] = static_cast<float>(e % 17) * 0.1f;
    buffers.push_back(reinterpret_cast<std::byte*>(memory.back().data()));
  }
  const double t = time_step(*bytes, scalars, split.chunks, buffers);
  const double n = static_cast<double>(rows * cols);
  std::printf("%-12s %6lld x %-8lld %7.3f ns/element %7.2f GB/s\n", name,
              static_cast<long long>(rows), static_cast<long long>(cols), t / n * 1e9,
              n * 4 * (region.inputs + region.outputs) / t * 1e-9);
}

void gelu(int64_t n) {
  Region r{TileProgramBuilder(0), 1, 1};
  TileProgramBuilder& b = r.builder;
  TileValue x = b.load(b.input(0, DType::kF32));
  TileValue e = b.unary(TileOp::kErf, b.binary(TileOp::kMul, x, b.constant(0.70710678118654752)));
  TileValue half = b.binary(TileOp::kMul, x, b.constant(0.5));
  b.store(b.output(0, DType::kF32), b.ternary(TileOp::kFma, half, e, half));
  report("gelu", r, 1, n);
}

void add(int64_t n) {
  Region r{TileProgramBuilder(0), 2, 1};
  TileProgramBuilder& b = r.builder;
  TileValue x = b.load(b.input(0, DType::kF32)), y = b.load(b.input(1, DType::kF32));
  b.store(b.output(0, DType::kF32), b.binary(TileOp::kAdd, x, y));
  report("add", r, 1, n);
}

void dropout(int64_t n) {
  Region r{TileProgramBuilder(0), 1, 1};
  TileProgramBuilder& b = r.builder;
  TileValue x = b.load(b.input(0, DType::kF32));
  const int index = b.index();
  const int key = b.user_scalar(), stream = b.user_scalar();
  TileValue u = b.uniform(index, b.scalar(key, TileType::kI64), b.scalar(stream, TileType::kI64));
  TileValue keep = b.binary(TileOp::kGe, u, b.constant(0.5));
  b.store(
      b.output(0, DType::kF32),
      b.ternary(TileOp::kSelect, keep, b.binary(TileOp::kMul, x, b.constant(2)), b.constant(0)));
  report("dropout", r, 1, n);
}

void softmax(int64_t rows, int64_t cols) {
  Region r{TileProgramBuilder(1), 1, 1};
  TileProgramBuilder& b = r.builder;
  TileValue x = b.load(b.input(0, DType::kF32));
  TileValue e = b.unary(TileOp::kExp, b.binary(TileOp::kSub, x, b.reduce(TileOp::kReduceMax, x)));
  TileValue scale = b.unary(TileOp::kReciprocal, b.reduce(TileOp::kSum, e));
  b.store(b.output(0, DType::kF32), b.binary(TileOp::kMul, e, scale));
  report("softmax", r, rows, cols);
}

void layer_norm(int64_t rows, int64_t cols) {
  Region r{TileProgramBuilder(1), 3, 1};
  TileProgramBuilder& b = r.builder;
  TileValue x = b.load(b.input(0, DType::kF32));
  TileValue centred = b.binary(TileOp::kSub, x, b.mean(x));
  TileValue variance = b.mean(b.binary(TileOp::kMul, centred, centred));
  TileValue rstd = b.unary(TileOp::kRsqrt, b.binary(TileOp::kAdd, variance, b.constant(1e-5)));
  TileValue y = b.binary(TileOp::kMul, centred, rstd);
  TileValue gamma = b.load(b.input(1, DType::kF32)), beta = b.load(b.input(2, DType::kF32));
  b.store(b.output(0, DType::kF32), b.ternary(TileOp::kFma, y, gamma, beta));
  report("layer_norm", r, rows, cols);
}

void adam(int64_t n) {
  Region r{TileProgramBuilder(0), 4, 3};
  TileProgramBuilder& b = r.builder;
  TileValue p = b.load(b.input(0, DType::kF32)), g = b.load(b.input(1, DType::kF32));
  TileValue m = b.load(b.input(2, DType::kF32)), v = b.load(b.input(3, DType::kF32));
  TileValue m2 = b.ternary(TileOp::kFma, b.binary(TileOp::kSub, g, m), b.constant(0.1), m);
  TileValue v2 = b.ternary(TileOp::kFma, b.binary(TileOp::kMul, g, g), b.constant(0.001),
                           b.binary(TileOp::kMul, v, b.constant(0.999)));
  TileValue d = b.binary(TileOp::kAdd, b.unary(TileOp::kSqrt, v2), b.constant(1e-8));
  TileValue step = b.binary(TileOp::kDiv, b.binary(TileOp::kMul, m2, b.constant(1e-3)), d);
  b.store(b.output(0, DType::kF32), b.binary(TileOp::kSub, p, step));
  b.store(b.output(1, DType::kF32), m2);
  b.store(b.output(2, DType::kF32), v2);
  report("adam", r, 1, n);
}

}  // namespace
}  // namespace modellib::cpu

int main() {
  using namespace modellib::cpu;  // NOLINT(google-build-using-namespace)
  add(32768);
  gelu(32768);
  gelu(1 << 22);
  dropout(32768);
  for (const int64_t cols : {10, 128, 197, 512, 1024, 4096, 50257}) {
    softmax(std::max<int64_t>(1, 65536 / cols), cols);
  }
  for (const int64_t cols : {128, 768, 4096}) layer_norm(65536 / cols, cols);
  adam(32768);
  adam(1 << 22);
  return 0;
}
