#include "modellib/executors/cpu/kernels/tile_program.h"

#include <cstring>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/executors/cpu/kernels/tile_builder.h"

namespace modellib::cpu {
namespace {

using ::testing::HasSubstr;

constexpr runtime::Kernel kTile = {kTileKernelName, validate_tile_step, run_tile_chunk};

std::vector<std::byte> softmax() {
  TileProgramBuilder b(1);
  const int in = b.input(0, DType::kF32), out = b.output(0, DType::kF32);
  TileValue x = b.load(in);
  TileValue e = b.unary(TileOp::kExp, b.binary(TileOp::kSub, x, b.reduce(TileOp::kReduceMax, x)));
  b.store(out, b.binary(TileOp::kDiv, e, b.reduce(TileOp::kSum, e)));
  return b.encode(1).value();
}

TEST(TileProgram, PrintsOneInstructionALine) {
  const auto bytes = softmax();
  const auto program = parse_tile_program(bytes);
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(describe_tile_program(*program),
            "tile program: 1 row dims, 3 passes\n"
            "  map 0: in0 f32\n"
            "  map 1: out0 f32\n"
            "  r0: f32 full = load map0  // passes 0 1 2\n"
            "  r1: f32 row = reduce_max r0  // pass 0\n"
            "  r0: f32 full = sub r0 r1  // passes 1 2\n"
            "  r0: f32 full = exp r0  // passes 1 2\n"
            "  r2: f32 row = sum r0  // pass 1\n"
            "  r0: f32 full = div r0 r2  // passes 2\n"
            "  store map1 r0  // passes 2\n");
}

TEST(TileProgram, BuilderKeepsTheFirstMistake) {
  TileProgramBuilder b(0);
  TileValue x = b.load(b.input(0, DType::kF32)), i = b.load(b.input(1, DType::kI32));
  TileValue bad = b.binary(TileOp::kAdd, x, i);
  b.store(b.output(0, DType::kF32), b.unary(TileOp::kExp, bad));
  EXPECT_THAT(b.encode(1).status().ToString(), HasSubstr("add of two different types"));
}

TEST(TileProgram, DropsWhatNoStoreNeedsAndReusesValues) {
  TileProgramBuilder b(0);
  const int in = b.input(0, DType::kF32), out = b.output(0, DType::kF32);
  b.unary(TileOp::kExp, b.load(in));
  b.store(out, b.binary(TileOp::kAdd, b.load(in), b.load(in)));
  const auto bytes = b.encode(1).value();
  EXPECT_EQ(parse_tile_program(bytes)->instructions.size(), 3u);  // load, add, store
}

TEST(TileProgram, StoresWaitForEveryLoad) {
  // out0 may share its memory with in1.
  TileProgramBuilder b(0);
  const int a = b.input(0, DType::kF32), c = b.input(1, DType::kF32);
  const int out0 = b.output(0, DType::kF32), out1 = b.output(1, DType::kF32);
  b.store(out0, b.unary(TileOp::kExp, b.load(a)));
  b.store(out1, b.unary(TileOp::kExp, b.load(c)));
  const auto bytes = b.encode(2).value();
  bool stored = false;
  const auto program = parse_tile_program(bytes);
  ASSERT_TRUE(program.ok()) << program.status();
  for (const TileInstruction& in : program->instructions) {
    if (in.op == TileOp::kStore) stored = true;
    EXPECT_FALSE(stored && in.op == TileOp::kLoad);
  }
}

TEST(TileProgram, RefusesBrokenBytes) {
  const auto good = softmax();
  const auto refused = [&](auto change) {
    auto bytes = good;
    change(bytes);
    return parse_tile_program(bytes).status().ToString();
  };
  using Bytes = std::vector<std::byte>;
  const auto header = [](Bytes& b) { return reinterpret_cast<TileHeader*>(b.data()); };
  const auto code = [](Bytes& b, int i) {
    return const_cast<TileInstruction*>(
        &view_tile_program(b.data()).instructions[static_cast<size_t>(i)]);
  };
  EXPECT_THAT(refused([](Bytes& b) { b.resize(5); }), HasSubstr("too short"));
  EXPECT_THAT(refused([](Bytes& b) { b.pop_back(); }), HasSubstr("its header says"));
  EXPECT_THAT(refused([&](Bytes& b) { header(b)->magic = 1; }), HasSubstr("not a tile program"));
  EXPECT_THAT(refused([&](Bytes& b) { header(b)->version = 9; }), HasSubstr("version 9"));
  EXPECT_THAT(refused([&](Bytes& b) { header(b)->passes = 2; }), HasSubstr("pass"));
  EXPECT_THAT(refused([&](Bytes& b) { code(b, 1)->op = static_cast<TileOp>(999); }),
              HasSubstr("unknown operation"));
  EXPECT_THAT(refused([&](Bytes& b) { code(b, 1)->dst = 77; }), HasSubstr("no such register"));
  EXPECT_THAT(refused([&](Bytes& b) { code(b, 0)->map = 1; }), HasSubstr("not of an input"));
  EXPECT_THAT(refused([&](Bytes& b) { code(b, 2)->src[1] = 2; }), HasSubstr("was not written"));
  EXPECT_THAT(refused([&](Bytes& b) { code(b, 0)->mask = 1; }), HasSubstr("did not write"));
  EXPECT_THAT(refused([&](Bytes& b) { code(b, 4)->pass = 2; }), HasSubstr("before the pass"));
  EXPECT_THAT(refused([&](Bytes& b) { code(b, 4)->dst = 1; }), HasSubstr("twice"));
}

TEST(TileProgram, RefusesMapsThatLeaveTheirOperand) {
  const auto status = [](TileScalars sc, size_t in, size_t out,
                         std::vector<runtime::StepView::Range> ranges = {}) {
    KernelCase k;
    k.scalars = sc.flatten();
    k.ranges = std::move(ranges);
    k.data = softmax();
    k.add_output<float>(out);
    k.add_input(std::vector<float>(in));
    return k.validate(validate_tile_step);
  };
  TileScalars sc;
  sc.rows = {4};
  sc.cols = 10;
  sc.maps = {{.row_strides = {10}}, {.row_strides = {10}}};
  EXPECT_TRUE(status(sc, 40, 40).ok());
  EXPECT_THAT(status(sc, 39, 40).ToString(), HasSubstr("map 0 leaves"));
  EXPECT_THAT(status(sc, 40, 39).ToString(), HasSubstr("map 1 leaves"));
  TileScalars bad = sc;
  bad.maps[0].base = -1;
  EXPECT_FALSE(status(bad, 40, 40).ok());
  bad = sc;
  bad.maps[0].row_strides[0] = INT64_MIN;
  EXPECT_FALSE(status(bad, 40, 40).ok());
  bad = sc;
  bad.rows[0] = INT64_MAX;
  EXPECT_FALSE(status(bad, 40, 40).ok());
  bad = sc;
  bad.cols_per_chunk = 5;
  EXPECT_THAT(status(bad, 40, 40).ToString(), HasSubstr("columns split"));
  bad = sc;
  bad.rows_per_chunk = 0;
  EXPECT_FALSE(status(bad, 40, 40).ok());
  // Times 649657 it is 2^64 - 2: a chunk of negative rows.
  bad.rows_per_chunk = 28394589873902;
  EXPECT_THAT(status(bad, 40, 40).ToString(), HasSubstr("rows of a chunk"));
  // No memory bounds the work.
  bad = sc;
  bad.cols = bad.cols_per_chunk = int64_t{1} << 32;
  bad.maps = {{.row_strides = {0}, .col_stride = 0}, {.row_strides = {0}, .col_stride = 0}};
  EXPECT_THAT(status(bad, 40, 40).ToString(), HasSubstr("far larger"));
  bad = sc;
  bad.rows = {int64_t{1} << 33};
  bad.cols = 0;
  EXPECT_TRUE(status(bad, 40, 40).ok());
  bad.rows_per_chunk = kMaxGrain;
  EXPECT_THAT(status(bad, 40, 40).ToString(), HasSubstr("rows of a chunk"));
  // Extents that vary at run time count at their maximum.
  std::vector<runtime::StepView::Range> ranges;
  for (const int64_t s : sc.flatten()) ranges.push_back({s, s});
  const TileLayout at = {1, 2, 0};
  ranges[static_cast<size_t>(at.row(0))] = {0, 4};
  EXPECT_TRUE(status(sc, 40, 40, ranges).ok());
  ranges[static_cast<size_t>(at.row(0))] = {0, 5};
  EXPECT_FALSE(status(sc, 40, 40, ranges).ok());
}

// Whatever bytes and scalars come: refused, or run without touching a guard byte.
TEST(TileProgram, MutatedStepsDoNoHarm) {
  const auto good = softmax();
  int ran = 0;
  for (uint32_t seed = 0; seed < 20000; ++seed) {
    std::mt19937 rng(seed);
    KernelCase k;
    k.data = good;
    TileScalars sc;
    sc.rows = {4};
    sc.cols = 10;
    sc.maps = {{.row_strides = {10}}, {.row_strides = {10}}};
    k.scalars = sc.flatten();
    for (uint32_t n = rng() % 4; n > 0; --n) {
      k.data[rng() % k.data.size()] = static_cast<std::byte>(rng() % 3 ? rng() % 8 : rng());
    }
    if (rng() % 2) k.scalars[rng() % k.scalars.size()] = static_cast<int64_t>(rng() % 16) - 4;
    k.chunks = rng() % 6;
    k.add_output<float>(40);
    k.add_input(std::vector<float>(40, 1.0f));
    const absl::Status s = k.run(kTile);
    if (s.ok()) ++ran;
    ASSERT_NE(s.code(), absl::StatusCode::kInternal) << s << " seed " << seed;
  }
  EXPECT_GT(ran, 1000);
}

TEST(TileProgram, SplitsCoverTheSpace) {
  for (const int64_t rows : {1, 7, 1000}) {
    for (const int64_t cols : {1, 10, 5000, 10000000}) {
      for (const bool whole : {false, true}) {
        const TileSplit s = choose_tile_split(rows, cols, whole, 8);
        EXPECT_GE(s.rows_per_chunk, 1);
        if (whole) EXPECT_GE(s.cols_per_chunk, cols);
        EXPECT_EQ(s.chunks, (rows + s.rows_per_chunk - 1) / s.rows_per_chunk *
                                ((cols + s.cols_per_chunk - 1) / s.cols_per_chunk));
      }
    }
  }
}

TEST(TileProgram, SplitsTakeExtentsWithoutABound) {
  constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
  for (const bool whole : {false, true}) {
    const TileSplit s = choose_tile_split(kUnbounded, kUnbounded, whole, 8);
    EXPECT_EQ(s.rows_per_chunk, 1);
    EXPECT_GT(s.chunks, kMaxElements / 2);
  }
}

}  // namespace
}  // namespace modellib::cpu
