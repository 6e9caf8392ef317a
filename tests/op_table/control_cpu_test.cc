// Control flow on the CPU: graphs as model code writes them, with their gradients, give what the
// reference executor gives, and the same bits with any number of workers.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/builder.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/control.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/random.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/any_workers.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

using Values = std::vector<Value>;

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }
Tensor wave(std::vector<int64_t> shape, double phase) {
  Tensor t = *Tensor::zeros(DType::kF32, shape);
  for (int64_t i = 0; i < t.elements(); ++i)
    t.set(i, std::sin(phase + 0.7 * static_cast<double>(i)));
  return t;
}
Tensor number(int64_t value) { return Tensor::scalar<int64_t>(value); }

void expect_cpu_equals_reference(GraphBuilder& b, const std::vector<Tensor>& inputs) {
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto expected = run_reference(*graph, inputs);
  ASSERT_TRUE(expected.ok()) << expected.status();
  absl::StatusOr<CpuProgram> program = compile_for_inputs(*graph, inputs);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto got = run_with_any_workers(*program, inputs);
  ASSERT_TRUE(got.ok()) << got.status();
  for (size_t i = 0; i < got->outputs.size(); ++i) {
    EXPECT_EQ(difference(got->outputs[i], expected->outputs[i], 2e-5), "") << "output " << i;
  }
}

// Adds the loss and its gradients as outputs.
void output_gradients(GraphBuilder& b, Value loss, const Values& wrt) {
  const Values g = gradients(b, loss, wrt);
  b.output("loss", loss);
  for (size_t i = 0; i < g.size(); ++i) b.output("g" + std::to_string(i), g[i]);
}

// A plain recurrent network: h' = tanh(x W + h U), every h stacked.
ScanValues recurrent(GraphBuilder& b, Dim trips, Value x, Value h, Value w, Value u, bool reverse) {
  return scan(
      b, trips, {h}, {x},
      [&](GraphBuilder&, Value, absl::Span<const Value> carries, absl::Span<const Value> xs) {
        const Value next = tanh(matmul(xs[0], w) + matmul(carries[0], u));
        return ScanValues{{next}, {next}};
      },
      {.reverse = reverse});
}

TEST(ControlOnCpu, ARecurrentNetworkWithItsGradient) {
  for (const bool reverse : {false, true}) {
    GraphBuilder b(builtin_ops());
    const Value x = b.input("x", f32({6, 3, 4})), h = b.input("h", f32({3, 5}));
    const Value w = b.input("w", f32({4, 5})), u = b.input("u", f32({5, 5}));
    const ScanValues r = recurrent(b, 6, x, h, w, u, reverse);
    b.output("ys", r.ys[0]);
    output_gradients(b, reduce_sum(r.ys[0] * r.ys[0]) + reduce_sum(r.carries[0]), {x, h, w, u});
    expect_cpu_equals_reference(
        b, {wave({6, 3, 4}, 0), wave({3, 5}, 1), wave({4, 5}, 2), wave({5, 5}, 3)});
  }
}

TEST(ControlOnCpu, ConstantsMoveIntoTheBody) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f32({6, 3, 4})), h = b.input("h", f32({3, 5}));
  const Value w = b.constant(wave({4, 5}, 2)), u = b.constant(wave({5, 5}, 3));
  const ScanValues r = recurrent(b, 6, x, h, w, u, true);
  b.output("ys", r.ys[0]);
  b.output("last", r.carries[0]);
  expect_cpu_equals_reference(b, {wave({6, 3, 4}, 0), wave({3, 5}, 1)});
}

// The length and the batch are free, so slices have no fixed size: compiled once for all of them.
TEST(ControlOnCpu, OnePlanForAllLengthsAndBatches) {
  for (const bool reverse : {false, true}) {
    GraphBuilder b(builtin_ops());
    const Dim length = Dim::symbol("length"), batch = Dim::symbol("batch");
    const Value x = b.input("x", f32({length, batch, 4})), h = b.input("h", f32({batch, 5}));
    const Value w = b.input("w", f32({4, 5})), u = b.input("u", f32({5, 5}));
    const ScanValues r = recurrent(b, length, x, h, w, u, reverse);
    b.output("ys", r.ys[0]);
    output_gradients(b, reduce_sum(r.ys[0] * r.ys[0]), {x, h, w});
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    CompileOptions options;
    options.dims = {{"length", {0, 9}}, {"batch", {1, 4}}};
    const auto program = compile_for_cpu(*graph, options);
    ASSERT_TRUE(program.ok()) << program.status();
    const auto session = runtime::Session::create(program->executable);
    ASSERT_TRUE(session.ok()) << session.status();
    const runtime::EntryId entry = *program->executable->entry("main");
    for (const auto& [n, rows] : std::vector<std::pair<int64_t, int64_t>>{{9, 4}, {3, 1}, {0, 2}}) {
      const std::vector<Tensor> inputs = {wave({n, rows, 4}, 0), wave({rows, 5}, 1),
                                          wave({4, 5}, 2), wave({5, 5}, 3)};
      const auto expected = run_reference(*graph, inputs);
      const auto got = (*session)->run_tensors(entry, inputs);
      ASSERT_TRUE(expected.ok() && got.ok()) << expected.status() << got.status();
      for (size_t i = 0; i < got->size(); ++i) {
        EXPECT_EQ(difference((*got)[i], expected->outputs[i], 2e-5), "")
            << "output " << i << ", length " << n;
      }
    }
  }
}

TEST(ControlOnCpu, CarriesThatChangePlaces) {
  GraphBuilder b(builtin_ops());
  const Value p = b.input("p", f32({4})), q = b.input("q", f32({4}));
  const ScanValues r =
      scan(b, 5, {p, q, p}, {},
           [](GraphBuilder&, Value, absl::Span<const Value> c, absl::Span<const Value>) {
             // Swapped, kept beside what replaces it, and unchanged.
             return ScanValues{{c[1], c[0] + c[2], c[2]}, {c[0], c[1] * 2.0}};
           });
  for (size_t i = 0; i < 3; ++i) b.output("c" + std::to_string(i), r.carries[i]);
  for (size_t i = 0; i < 2; ++i) b.output("y" + std::to_string(i), r.ys[i]);
  expect_cpu_equals_reference(b, {wave({4}, 0), wave({4}, 1)});
}

TEST(ControlOnCpu, OneGraphIsConditionAndBody) {
  const TensorType flag{DType::kBool, {}};
  GraphBuilder flip(builtin_ops(), "flip");
  flip.output("out", logical_not(flip.input("in", flag)));
  const GraphRef graph = *flip.build();
  for (const bool first : {false, true}) {
    GraphBuilder b(builtin_ops());
    const WhileAttributes loop{graph, graph, 1, 0, {3}};
    b.output("out", b.emit_one("while", {b.input("in", flag)}, Attributes::of(loop)));
    Tensor in = *Tensor::zeros(DType::kBool, {});
    in.set(0, first ? 1 : 0);
    expect_cpu_equals_reference(b, {in});
  }
}

TEST(ControlOnCpu, LoopsInLoopsInLoops) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f32({2, 3, 4, 5})), w = b.input("w", f32({5}));
  // Running sums of tanh(x * w) along three axes, the partial sums of each loop stacked.
  const auto inner = [&](GraphBuilder& g, Value rows, Value sum) {
    return scan(g, 4, {sum}, {rows},
                [&](GraphBuilder&, Value i, absl::Span<const Value> c, absl::Span<const Value> s) {
                  const Value next = c[0] + tanh(s[0] * w) * i.to(DType::kF32);
                  return ScanValues{{next}, {next * 0.5}};
                },
                {.reverse = true});
  };
  const auto middle = [&](GraphBuilder& g, Value planes, Value sum) {
    return scan(g, 3, {sum}, {planes},
                [&](GraphBuilder& h, Value, absl::Span<const Value> c, absl::Span<const Value> s) {
                  const ScanValues r = inner(h, s[0], c[0]);
                  return ScanValues{{r.carries[0]}, {r.ys[0]}};
                });
  };
  const Value zero = full(w, {5}, 0);
  const ScanValues r =
      scan(b, 2, {zero}, {x},
           [&](GraphBuilder& g, Value, absl::Span<const Value> c, absl::Span<const Value> s) {
             const ScanValues m = middle(g, s[0], c[0]);
             return ScanValues{{m.carries[0]}, {m.ys[0]}};
           });
  b.output("ys", r.ys[0]);
  output_gradients(b, reduce_sum(r.carries[0] * r.carries[0]), {x, w});
  expect_cpu_equals_reference(b, {wave({2, 3, 4, 5}, 0), wave({5}, 1)});
}

TEST(ControlOnCpu, BranchesInLoopsAndLoopsInBranches) {
  for (const int64_t limit : {0, 3, 6}) {
    GraphBuilder b(builtin_ops());
    const Value x = b.input("x", f32({6, 4})), n = b.input("n", {DType::kI64, {}});
    const auto looped = [&](GraphBuilder& g, Value start) {
      return scan(g, 6, {start}, {x},
                  [&](GraphBuilder& h, Value i, absl::Span<const Value> c,
                      absl::Span<const Value> s) {
                    const Value next = cond(
                        h, less(i, n), [&](GraphBuilder&) { return Values{c[0] * s[0]}; },
                        [&](GraphBuilder&) { return Values{s[0]}; })[0];
                    return ScanValues{{next}, {}};
                  })
          .carries[0];
    };
    const Value y = cond(
        b, greater(n, b.scalar(2, DType::kI64)),
        [&](GraphBuilder& g) { return Values{looped(g, full(x, {4}, 1.5))}; },
        [&](GraphBuilder&) { return Values{squeeze(slice_axis(x, 0, 0, 1), {0})}; })[0];
    b.output("y", y);
    output_gradients(b, reduce_sum(y * y), {x});
    expect_cpu_equals_reference(b, {wave({6, 4}, 0.4), number(limit)});
  }
}

TEST(ControlOnCpu, AWhileWithAndWithoutBound) {
  for (const bool bounded : {false, true}) {
    GraphBuilder b(builtin_ops());
    const Value x = b.input("x", f32({3})), limit = b.input("limit", f32({}));
    const Value count = b.scalar(0, DType::kI64);
    const ConditionBody below = [&](GraphBuilder&, absl::Span<const Value> c) {
      return less(reduce_sum(c[0]), limit);
    };
    const LoopBody twice = [&](GraphBuilder& g, absl::Span<const Value> c) {
      return Values{c[0] * 2.0 + x * x, c[1] + g.scalar(1, DType::kI64)};
    };
    const Values r = bounded ? while_loop(b, {x, count}, Dim(7), below, twice)
                             : while_loop(b, {x, count}, below, twice);
    b.output("x", r[0]);
    b.output("trips", r[1]);
    if (bounded) output_gradients(b, reduce_sum(r[0]), {x});
    Tensor start = *Tensor::of<float>({3}, {0.5F, 0.25F, 0.125F});
    expect_cpu_equals_reference(b, {start, Tensor::scalar(40.0F)});
  }
}

TEST(ControlOnCpu, RandomNumbersDifferFromTripToTrip) {
  GraphBuilder b(builtin_ops());
  const Value seed = b.input("seed", {DType::kI64, {}});
  const ScanValues r =
      scan(b, 4, {}, {},
           [&](GraphBuilder& g, Value i, absl::Span<const Value>, absl::Span<const Value>) {
             const Value key = fold_in(g.captured(seed), i);
             return ScanValues{{}, {random_uniform(key, {.shape = {3, 5}})}};
           });
  b.output("draws", r.ys[0]);
  expect_cpu_equals_reference(b, {number(17)});
}

// Parts of a concatenation are computed where they lie in it; what is shared, or not a whole
// buffer, is copied.
TEST(ControlOnCpu, ConcatenationsWithoutCopies) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f32({8})), y = b.input("y", f32({3}));
  const Value p = tanh(x), q = exp(y);
  const Value both = concat({p, q, p, x}, 0);
  b.output("both", both);
  b.output("p", p);
  b.output("nested", concat({concat({tanh(y), sin(y)}, 0), cos(x)}, 0) * 2.0);
  b.output("column", concat({reshape(sin(x), {8, 1}), reshape(cos(x), {8, 1})}, 1));
  expect_cpu_equals_reference(b, {wave({8}, 0), wave({3}, 1)});
}

}  // namespace
}  // namespace modellib
