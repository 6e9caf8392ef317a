// Tile programs against a plain interpreter of the same bytes: one operation, one element at a
// time, in double or int64.
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "modellib/executors/cpu/kernels/kernel_test_util.h"
#include "modellib/executors/cpu/kernels/tile_builder.h"
#include "modellib/executors/cpu/kernels/tile_interpreter.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/philox.h"

namespace modellib::cpu {
namespace {

constexpr runtime::Kernel kTile = {kTileKernelName, validate_tile_step, run_tile_chunk};
template <class T>
std::vector<std::byte> to_bytes(const std::vector<T>& v) {
  std::vector<std::byte> out(v.size() * sizeof(T));
  if (!v.empty()) std::memcpy(out.data(), v.data(), out.size());
  return out;
}

void expect_close(double got, double want, double relative, double absolute,
                  const std::string& what) {
  if (want != want) {
    EXPECT_TRUE(got != got) << what << ": " << got << ", expected NaN";
  } else if (std::isinf(want) || got == want) {
    EXPECT_EQ(got, want) << what;
  } else {
    EXPECT_NEAR(got, want, std::fabs(want) * relative + absolute) << what;
  }
}

struct Sizes {
  int64_t rows_per_chunk, cols_per_chunk;
};

// Runs a program with a split; returns its outputs.
absl::StatusOr<Memory> execute(const std::vector<std::byte>& bytes, TileScalars sc, Sizes split,
                               const Memory& outputs, const Memory& inputs) {
  int64_t rows = 1;
  for (const int64_t r : sc.rows) rows *= r;
  sc.rows_per_chunk = split.rows_per_chunk;
  sc.cols_per_chunk = split.cols_per_chunk;
  KernelCase k;
  k.scalars = sc.flatten();
  k.chunks = (rows + split.rows_per_chunk - 1) / split.rows_per_chunk *
             ((sc.cols + split.cols_per_chunk - 1) / split.cols_per_chunk);
  k.data = bytes;
  for (const auto& o : outputs) k.add_output<std::byte>(o.size());
  for (const auto& i : inputs) k.add_input(i);
  if (absl::Status s = k.run(kTile); !s.ok()) return s;
  Memory out;
  for (size_t i = 0; i < outputs.size(); ++i) out.push_back(k.output<std::byte>(i));
  return out;
}

// Special and ordinary values of a type, as bytes of its memory form.
std::vector<double> float_values(size_t n, std::mt19937& rng) {
  std::vector<double> v = {0.0,     -0.0, 1,     -1,   0.5,          -0.5,          1.5,   2.5,
                           -2.5,    kInf, -kInf, kNan, 1e-38,        -1e-38,        1e-42, 3e38,
                           -3e38,   88,   -88,   100,  -104,         1e-8,          20,    -20,
                           5,       0.3,  65504, 1e5,  2147483648.0, -2147483648.0, 3e9,   9.3e18,
                           -9.3e18, 1e6};
  std::uniform_real_distribution<double> u(-6, 6);
  while (v.size() < n) v.push_back(u(rng));
  std::shuffle(v.begin(), v.end(), rng);
  v.resize(n);
  for (double& x : v) x = static_cast<float>(x);
  return v;
}
std::vector<int64_t> int_values(TileType t, size_t n, std::mt19937& rng) {
  std::vector<int64_t> v = {0, 1, -1, 2, -2, 7, -7, 100, INT32_MAX, INT32_MIN};
  if (t == TileType::kI64) v.insert(v.end(), {INT64_MAX, INT64_MIN, int64_t{1} << 40});
  while (v.size() < n) v.push_back(static_cast<int64_t>(rng() % 41) - 20);
  std::shuffle(v.begin(), v.end(), rng);
  v.resize(n);
  return v;
}
constexpr DType kMemory[] = {DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kBool};
std::vector<std::byte> values(TileType t, size_t n, std::mt19937& rng) {
  switch (t) {
    case TileType::kF32: {
      const auto v = float_values(n, rng);
      return to_bytes(std::vector<float>(v.begin(), v.end()));
    }
    case TileType::kF64:
      return to_bytes(float_values(n, rng));
    case TileType::kI32: {
      const auto v = int_values(t, n, rng);
      return to_bytes(std::vector<int32_t>(v.begin(), v.end()));
    }
    case TileType::kI64:
      return to_bytes(int_values(t, n, rng));
    case TileType::kBool:
      break;
  }
  std::vector<uint8_t> v(n);
  for (uint8_t& x : v) x = rng() % 2;
  return to_bytes(v);
}

// Every operation on every type it takes, over special values, alone.
TEST(TileExecutor, EveryPointwiseOperation) {
  std::mt19937 rng(7);
  const int64_t n = 1531;
  int programs = 0;
  for (int o = 0; o < kTileOpCount; ++o) {
    const TileOp op = static_cast<TileOp>(o);
    const TileClass cls = tile_op_class(op);
    if (cls == TileClass::kMemory || cls == TileClass::kScalar || cls == TileClass::kReduce)
      continue;
    for (int t = 0; t < kTileTypes; ++t) {
      for (int to = 0; to < (cls == TileClass::kCast ? kTileTypes : 1); ++to) {
        for (int round = 0; round < (cls == TileClass::kRound ? kDTypeCount : 1); ++round) {
          // uniform: which source is one number for all
          for (int uniform = -1; uniform < (tile_op_sources(op) > 1 ? 2 : 0); ++uniform) {
            TileProgramBuilder b(0);
            const TileType type = static_cast<TileType>(t);
            Memory in;
            TileScalars sc;
            sc.cols = n;
            TileValue v[3];
            for (int s = 0; s < tile_op_sources(op); ++s) {
              const TileType st = op == TileOp::kSelect && s == 0 ? TileType::kBool : type;
              const int map = b.input(s, kMemory[static_cast<int>(st)]);
              v[s] = b.load(map, s == uniform ? TileShape::kUniform : TileShape::kFull);
              in.push_back(values(st, n, rng));
              sc.maps.push_back({});
            }
            TileValue y;
            if (cls == TileClass::kCast) {
              if (t == to) continue;
              y = b.cast(v[0], static_cast<TileType>(to));
            } else if (cls == TileClass::kRound) {
              y = b.round_to(v[0], static_cast<DType>(round));
              if (type == TileType::kF32 && static_cast<DType>(round) == DType::kF32) continue;
            } else if (tile_op_sources(op) == 1) {
              y = b.unary(op, v[0]);
            } else if (tile_op_sources(op) == 2) {
              y = b.binary(op, v[0], v[1]);
            } else {
              y = b.ternary(op, v[0], v[1], v[2]);
            }
            const DType result = kMemory[static_cast<int>(b.type(y))];
            b.store(b.output(0, result), y);
            sc.maps.push_back({});
            const auto bytes = b.encode(1);
            if (!bytes.ok()) continue;  // a type that the operation does not take
            ++programs;
            Memory want = {std::vector<std::byte>(static_cast<size_t>(bytes_of(result, n)))};
            const auto got = execute(*bytes, sc, {1, 512}, want, in);
            ASSERT_TRUE(got.ok()) << got.status();
            interpret(*bytes, sc, want, in);
            const std::string what = std::string(tile_op_name(op)) + " type " + std::to_string(t) +
                                     " uniform " + std::to_string(uniform);
            for (int64_t i = 0; i < n; ++i) {
              const Number g = read(result, (*got)[0], i), w = read(result, want[0], i);
              if (g.i == w.i && std::bit_cast<int64_t>(g.f) == std::bit_cast<int64_t>(w.f))
                continue;
              std::string at = what + " of";
              for (int s = 0; s < tile_op_sources(op); ++s) {
                const TileType st = op == TileOp::kSelect && s == 0 ? TileType::kBool : type;
                const Number x = read(kMemory[static_cast<int>(st)], in[s], s == uniform ? 0 : i);
                at += " " + (floating(st) ? std::to_string(x.f) : std::to_string(x.i));
              }
              if (floating(tile_type_of(result))) {
                // floor of a quotient may fall on either side of a rounded whole number
                const double slack = op == TileOp::kFloorDiv ? 1 : 2e-38;
                if (op == TileOp::kMod && std::isinf(w.f)) continue;
                // Highway's sine is good to 3 ulp of its argument's reduction
                const bool wave = op == TileOp::kSin || op == TileOp::kCos;
                if (op == TileOp::kFloorDiv && !(std::fabs(w.f) < 1e7)) continue;
                expect_close(g.f, w.f, 1e-6, wave ? 1e-6 : op == TileOp::kFma ? 1e-5 : slack, at);
              } else {
                EXPECT_EQ(g.i, w.i) << at;
              }
            }
            if (HasFailure()) return;
          }
        }
      }
    }
  }
  EXPECT_GT(programs, 250);
}

TEST(TileExecutor, EveryMemoryType) {
  std::mt19937 rng(3);
  const int64_t n = 301;
  for (int d = 1; d < kDTypeCount; ++d) {
    const DType dtype = static_cast<DType>(d);
    if (!tile_loadable(dtype)) continue;
    for (const int64_t stride : {1, 0, 3, -2}) {
      TileProgramBuilder b(0);
      const int in = b.input(0, dtype), out = b.output(0, dtype);
      b.store(out, b.load(in));
      const auto bytes = b.encode(1);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      Memory input = {std::vector<std::byte>(static_cast<size_t>(bytes_of(dtype, 3 * n)))};
      for (std::byte& x : input[0])
        x = static_cast<std::byte>(dtype == DType::kBool ? rng() % 2 : rng());
      TileScalars sc;
      sc.cols = n;
      sc.maps = {{.base = stride < 0 ? 2 * n : 0, .col_stride = stride},
                 {.base = 2, .col_stride = 2}};
      Memory want = {
          std::vector<std::byte>(static_cast<size_t>(bytes_of(dtype, 2 * n + 2)), std::byte{0xCD})};
      const auto got = execute(*bytes, sc, {1, 64}, want, input);
      ASSERT_TRUE(got.ok()) << got.status();
      interpret(*bytes, sc, want, input);
      for (int64_t i = 0; i < n; ++i) {
        const Number g = read(dtype, (*got)[0], 2 * i + 2), w = read(dtype, want[0], 2 * i + 2);
        if (g.f != g.f && w.f != w.f) continue;  // NaNs may differ in their bits
        EXPECT_EQ(g.f, w.f) << to_string(dtype);
        EXPECT_EQ(g.i, w.i) << to_string(dtype);
      }
      EXPECT_EQ((*got)[0][0], std::byte{0xCD});  // the gaps stay
    }
  }
}

// Random programs of smooth operations with reductions, broadcasts and mixed types, over random
// shapes; also that every split gives the same bits.
TEST(TileExecutor, RandomPrograms) {
  for (int seed = 0; seed < 150; ++seed) {
    std::mt19937 rng(static_cast<uint32_t>(seed));
    const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<uint32_t>(n)); };
    const int dims = pick(4);
    const bool reduces = pick(3) != 0;
    TileScalars sc;
    int64_t rows = 1;
    for (int d = 0; d < dims; ++d) {
      sc.rows.push_back(1 + pick(7));
      rows *= sc.rows.back();
    }
    const int widths[] = {1, 5, 16, 31, 128, 700, 1024, 1040, 3000, 40000};
    sc.cols = widths[pick(rows > 40 ? 8 : 10)];
    TileProgramBuilder b(dims);
    Memory in;
    std::vector<TileValue> pool;
    const auto add_map = [&](bool contiguous) {
      TileScalars::Map m;
      m.row_strides.assign(static_cast<size_t>(dims), 0);
      int64_t size = 1;
      m.col_stride = contiguous || pick(3) ? 1 : pick(3);
      size += (sc.cols - 1) * m.col_stride;
      int64_t stride = m.col_stride == 0 ? 1 : size;
      for (int d = dims - 1; d >= 0; --d) {
        m.row_strides[static_cast<size_t>(d)] = contiguous || pick(3) ? stride : 0;
        size += (sc.rows[static_cast<size_t>(d)] - 1) * m.row_strides[static_cast<size_t>(d)];
        stride *= sc.rows[static_cast<size_t>(d)];
      }
      sc.maps.push_back(m);
      return size;
    };
    std::uniform_real_distribution<float> u(-2, 2);
    const int inputs = 1 + pick(3);
    for (int i = 0; i < inputs; ++i) {
      const DType types[] = {DType::kF32, DType::kF32, DType::kF16, DType::kBF16};
      const DType dtype = types[pick(4)];
      const int map = b.input(i, dtype);
      const int64_t size = add_map(false);
      std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(dtype, size)));
      for (int64_t e = 0; e < size; ++e) write(dtype, bytes, e, {u(rng), 0});
      in.push_back(bytes);
      pool.push_back(b.load(map, static_cast<TileShape>(pick(5) ? 0 : pick(3))));
    }
    pool.push_back(b.constant(0.75));
    const TileOp unary[] = {TileOp::kTanh, TileOp::kSigmoid, TileOp::kErf, TileOp::kAbs,
                            TileOp::kNeg,  TileOp::kRelu,    TileOp::kSin};
    const TileOp binary[] = {TileOp::kAdd, TileOp::kSub, TileOp::kMul, TileOp::kMin, TileOp::kMax};
    const int steps = 1 + pick(14);
    for (int i = 0; i < steps; ++i) {
      const auto any = [&] { return pool[pick(static_cast<int>(pool.size()))]; };
      const int kind = pick(reduces ? 8 : 6);
      if (kind < 2) {
        pool.push_back(b.unary(unary[pick(7)], any()));
      } else if (kind < 5) {
        pool.push_back(b.binary(binary[pick(5)], any(), any()));
      } else if (kind == 5) {
        pool.push_back(b.ternary(TileOp::kFma, any(), any(), any()));
      } else {
        pool.push_back(kind == 6 ? b.mean(any()) : b.reduce(TileOp::kReduceMax, any()));
      }
      pool.push_back(b.unary(TileOp::kTanh, pool.back()));  // keeps numbers small
    }
    const int outputs = 1 + pick(2);
    Memory want;
    for (int o = 0; o < outputs; ++o) {
      const TileValue v = pool[pool.size() - 1 - static_cast<size_t>(pick(3))];
      b.store(b.output(o, DType::kF32), v);
      const int64_t size = add_map(true);
      want.emplace_back(static_cast<size_t>(size) * 4, std::byte{0xCD});
    }
    const auto bytes = b.encode(outputs);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    const auto view = parse_tile_program(*bytes);
    ASSERT_TRUE(view.ok());
    const bool whole = tile_needs_whole_rows(*view);
    const std::string text = describe_tile_program(*view);
    const auto one = execute(*bytes, sc, {rows, int64_t{1} << 40}, want, in);
    ASSERT_TRUE(one.ok()) << one.status() << "\n" << text;
    const auto many =
        execute(*bytes, sc, {1 + pick(3), whole ? int64_t{1} << 40 : 1 + pick(600)}, want, in);
    ASSERT_TRUE(many.ok()) << many.status() << "\n" << text;
    EXPECT_EQ(*one, *many) << "seed " << seed << "\n" << text;
    interpret(*bytes, sc, want, in);
    for (int o = 0; o < outputs; ++o) {
      for (size_t i = 0; i < want[o].size() / 4; ++i) {
        const double g = read(DType::kF32, (*one)[o], i).f, w = read(DType::kF32, want[o], i).f;
        if (w == read(DType::kF32, {4, std::byte{0xCD}}, 0).f) {
          EXPECT_EQ(g, w);
        } else {
          expect_close(g, w, 2e-4, 2e-5, text);
        }
        if (HasFailure()) return;
      }
    }
  }
}

std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(rng);
  return v;
}

// The rows of a softmax in registers and in passes: the same bits for the same rows.
TEST(TileExecutor, LongRowsRunInPassesWithTheSameBits) {
  const int64_t rows = 3, cols = 15000;  // two registers: resident
  const auto x = random_floats(static_cast<size_t>(rows * cols), 5);
  Memory results[2];
  for (const bool wide : {false, true}) {
    TileProgramBuilder b(1);
    TileValue v = b.load(b.input(0, DType::kF32));
    TileValue e = b.unary(TileOp::kExp, b.binary(TileOp::kSub, v, b.reduce(TileOp::kReduceMax, v)));
    TileValue y = b.binary(TileOp::kDiv, e, b.reduce(TileOp::kSum, e));
    const int out = b.output(0, DType::kF32);
    TileScalars sc;
    sc.rows = {rows};
    sc.cols = cols;
    sc.maps = {{.row_strides = {cols}}, {.row_strides = {cols}}};
    if (wide) {
      // Dead weight that needs many registers at once, so that the row no longer fits.
      std::vector<TileValue> parts;
      for (int i = 0; i < 8; ++i)
        parts.push_back(b.unary(TileOp::kSin, b.binary(TileOp::kAdd, y, b.constant(i))));
      TileValue sum = parts[0];
      for (int i = 7; i > 0; --i) sum = b.binary(TileOp::kAdd, sum, parts[i]);
      b.store(b.output(1, DType::kF32), sum);
      sc.maps.push_back({.row_strides = {cols}});
    }
    b.store(out, y);
    const auto bytes = b.encode(wide ? 2 : 1);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    Memory outputs(wide ? 2 : 1, std::vector<std::byte>(static_cast<size_t>(rows * cols * 4)));
    const auto got = execute(*bytes, sc, {1, int64_t{1} << 40}, outputs, {to_bytes(x)});
    ASSERT_TRUE(got.ok()) << got.status();
    results[wide] = *got;
  }
  EXPECT_EQ(results[0][0], results[1][0]);
  double sum = 0;
  for (int64_t i = 0; i < cols; ++i) sum += read(DType::kF32, results[0][0], i).f;
  EXPECT_NEAR(sum, 1.0, 1e-5);
}

// What a function gives for an element is its own affair: neighbours of any size in the same
// vector, or garbage behind the end of a row, must not change its bits.
TEST(TileExecutor, NeighboursDoNotChangeAnElementsBits) {
  const auto numbers = random_floats(64, 11);
  const float neighbours[] = {0.5f, 1e30f, -4e4f, std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()};
  for (int o = 0; o < kTileOpCount; ++o) {
    const TileOp op = static_cast<TileOp>(o);
    if (tile_op_class(op) == TileClass::kMemory || tile_op_sources(op) != 1) continue;
    TileProgramBuilder b(0);
    b.store(b.output(0, DType::kF32), b.unary(op, b.load(b.input(0, DType::kF32))));
    const auto bytes = b.encode(1);
    if (!bytes.ok()) continue;  // no function from float to float
    TileScalars sc;
    sc.cols = 128;
    sc.maps = {{}, {}};
    Memory first;
    for (const float neighbour : neighbours) {
      std::vector<float> x;
      for (const float number : numbers) x.insert(x.end(), {5 * number, neighbour});
      const Memory output = {std::vector<std::byte>(128 * sizeof(float))};
      const auto got = execute(*bytes, sc, {1, 512}, output, {to_bytes(x)});
      ASSERT_TRUE(got.ok()) << got.status();
      if (first.empty()) first = *got;
      for (int64_t i = 0; i < 128; i += 2) {
        ASSERT_EQ(std::memcmp((*got)[0].data() + 4 * i, first[0].data() + 4 * i, 4), 0)
            << tile_op_name(op) << " of " << x[static_cast<size_t>(i)] << " beside " << neighbour;
      }
    }
  }
}

TEST(TileExecutor, GatherPicksAndReportsFaults) {
  TileProgramBuilder b(1);
  const int logits = b.input(0, DType::kF32), target = b.input(1, DType::kI64);
  const int out = b.output(0, DType::kF32);
  const int classes = b.user_scalar();
  b.store(out, b.gather(logits, b.load(target, TileShape::kRow), classes));
  const auto bytes = b.encode(1);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  TileScalars sc;
  sc.rows = {3};
  sc.cols = 4;
  sc.maps = {{.row_strides = {4}}, {.row_strides = {1}}, {.row_strides = {1}}};
  sc.user = {4};
  KernelCase k;
  k.scalars = sc.flatten();
  k.data = *bytes;
  k.chunks = 3;
  k.add_output<float>(3);
  k.add_input(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  k.add_input(std::vector<int64_t>{2, 4, 0});
  ASSERT_TRUE(k.run(kTile).ok());
  EXPECT_EQ(k.output<float>(0), (std::vector<float>{2, 0, 8}));
  EXPECT_EQ(k.fault.code(), runtime::Fault::kIndexOutOfRange);
  EXPECT_EQ(k.fault.value(), 4);
  EXPECT_EQ(k.fault.limit(), 4);
}

TEST(TileExecutor, RandomNumbersFollowTheLogicalIndex) {
  // The known answer of the Random123 distribution for counter 0 and key 0.
  EXPECT_EQ(philox_block(0, 0, 0),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  TileProgramBuilder b(1);
  const int index = b.index();
  const int key = b.user_scalar(), stream = b.user_scalar();
  TileValue k = b.scalar(key, TileType::kI64), s = b.scalar(stream, TileType::kI64);
  b.store(b.output(0, DType::kI32), b.random_bits(index, k, s));
  b.store(b.output(1, DType::kF32), b.uniform(index, k, s));
  const auto bytes = b.encode(2);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const int64_t rows = 5, cols = 333;
  for (const int64_t stride : {1, 7}) {
    TileScalars sc;
    sc.rows = {rows};
    sc.cols = cols;
    sc.maps = {
        {.base = (int64_t{1} << 34) + 1, .row_strides = {cols * stride}, .col_stride = stride},
        {.row_strides = {cols}},
        {.row_strides = {cols}}};
    sc.user = {0x123456789abcdef, 77};
    const size_t n = static_cast<size_t>(rows * cols);
    const auto got = execute(*bytes, sc, {2, 50}, Memory(2, std::vector<std::byte>(n * 4)), {});
    ASSERT_TRUE(got.ok()) << got.status();
    for (size_t i = 0; i < n; ++i) {
      const uint32_t want = philox_bits(0x123456789abcdef, 77,
                                        (uint64_t{1} << 34) + 1 + i * static_cast<size_t>(stride));
      EXPECT_EQ(static_cast<uint32_t>(read(DType::kI32, (*got)[0], i).i), want);
      EXPECT_EQ(read(DType::kF32, (*got)[1], i).f, philox_uniform(want));
    }
  }
}

// Adam with weights and moments in place, predicated on a flag in memory.
TEST(TileExecutor, UpdatesInPlaceOnlyWhenOk) {
  for (const uint8_t ok : {0, 1}) {
    TileProgramBuilder b(0);
    const int p_in = b.input(0, DType::kF32), g_in = b.input(1, DType::kF32),
              m_in = b.input(2, DType::kF32), ok_in = b.input(3, DType::kBool);
    const int p_out = b.output(0, DType::kF32), m_out = b.output(1, DType::kF32);
    TileValue flag = b.load(ok_in, TileShape::kUniform);
    TileValue p = b.load(p_in), g = b.load(g_in), m = b.load(m_in);
    TileValue m2 =
        b.ternary(TileOp::kFma, m, b.constant(0.9), b.binary(TileOp::kMul, g, b.constant(0.1)));
    TileValue p2 = b.binary(TileOp::kSub, p, b.binary(TileOp::kMul, m2, b.constant(0.5)));
    b.store(p_out, b.ternary(TileOp::kSelect, flag, p2, p));
    b.store(m_out, b.ternary(TileOp::kSelect, flag, m2, m));
    const auto bytes = b.encode(2);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    const size_t n = 5000;
    const auto p0 = random_floats(n, 1), g0 = random_floats(n, 2), m0 = random_floats(n, 3);
    TileScalars sc;
    sc.cols = n;
    sc.cols_per_chunk = 1024;
    sc.maps.resize(6);
    KernelCase k;
    k.scalars = sc.flatten();
    k.chunks = 5;
    k.data = *bytes;
    k.add_input(p0);
    k.add_input(g0);
    k.add_input(m0);
    k.add_input(std::vector<uint8_t>{ok});
    k.add_output_in_place(0);
    k.add_output_in_place(2);
    ASSERT_TRUE(k.run(kTile).ok());
    const auto p1 = k.output<float>(0), m1 = k.output<float>(1);
    for (size_t i = 0; i < n; ++i) {
      const float want = 0.9f * m0[i] + 0.1f * g0[i];
      EXPECT_NEAR(m1[i], ok ? want : m0[i], 1e-6);
      EXPECT_NEAR(p1[i], ok ? p0[i] - 0.5f * want : p0[i], 1e-6);
    }
  }
}

TEST(TileExecutor, EmptyRowsReduceToTheIdentity) {
  TileProgramBuilder b(1);
  TileValue x = b.load(b.input(0, DType::kF32));
  b.store(b.output(0, DType::kF32), b.reduce(TileOp::kSum, x));
  const auto bytes = b.encode(1);
  ASSERT_TRUE(bytes.ok());
  TileScalars sc;
  sc.rows = {2};
  sc.cols = 0;
  sc.maps = {{.row_strides = {0}}, {.row_strides = {1}}};
  KernelCase k;
  k.scalars = sc.flatten();
  k.chunks = 2;
  k.data = *bytes;
  k.add_output<float>(2);
  k.add_absent_input();
  ASSERT_TRUE(k.run(kTile).ok());
  EXPECT_EQ(k.output<float>(0), (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace modellib::cpu
