// cond, scan and while as model code writes them: with bodies that capture, and differentiated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/ops/control.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/index.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/random.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/gradient_check.h"
#include "modellib/tests/op_table/samples.h"

namespace modellib {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TensorType f64(Shape shape) { return {DType::kF64, std::move(shape)}; }
Tensor numbers(std::vector<double> v) {
  return *Tensor::of<double>({static_cast<int64_t>(v.size())}, v);
}
Tensor number(double v) { return Tensor::scalar(v); }

std::vector<Tensor> run(GraphBuilder& b, std::vector<Tensor> inputs) {
  const auto graph = b.build();
  EXPECT_TRUE(graph.ok()) << graph.status();
  if (!graph.ok()) return {};
  auto result = run_reference(*graph, inputs);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->outputs : std::vector<Tensor>();
}

// The loss with the gradients of all inputs, against central differences.
void check_gradients(GraphBuilder& b, Value loss, const std::vector<Value>& wrt,
                     const std::vector<Tensor>& inputs) {
  const auto g = gradients(b, loss, wrt);
  b.output("loss", loss);
  std::vector<int> at;
  for (size_t i = 0; i < wrt.size(); ++i) {
    b.output("g" + std::to_string(i), g[i]);
    at.push_back(static_cast<int>(i));
  }
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto mismatch = gradient_mismatch(*graph, inputs, at);
  ASSERT_TRUE(mismatch.ok()) << mismatch.status();
  EXPECT_EQ(*mismatch, "");
}

TEST(Cond, RunsTheBranchThatIsTaken) {
  for (double x : {2.0, -3.0}) {
    GraphBuilder b(builtin_ops());
    const Value v = b.input("x", f64({}));
    const auto out = cond(
        b, greater(v, 0),
        [&](GraphBuilder&) {
          return std::vector{v * v, v};
        },
        [&](GraphBuilder& inner) {
          return std::vector{neg(v), inner.scalar(7, DType::kF64)};
        });
    ASSERT_EQ(out.size(), 2u);
    b.output("first", out[0]);
    b.output("second", out[1]);
    const auto results = run(b, {number(x)});
    EXPECT_EQ(results[0].at(0), x > 0 ? 4 : 3);
    EXPECT_EQ(results[1].at(0), x > 0 ? 2 : 7);
  }
}

TEST(Cond, CountsAValueOnceThatBothBranchesAndTheRestUse) {
  for (double x : {0.7, -0.4}) {
    GraphBuilder b(builtin_ops());
    const Value v = b.input("x", f64({})), w = b.input("w", f64({3}));
    const auto out = cond(
        b, greater(v, 0), [&](GraphBuilder&) { return std::vector{reduce_sum(w * w) * v * v}; },
        [&](GraphBuilder&) { return std::vector{sin(v) * reduce_sum(w)}; });
    check_gradients(b, out[0] * v, {v, w}, {number(x), numbers({1, -2, 0.5})});
  }
}

TEST(Cond, RefusesBranchesOfDifferentTypes) {
  GraphBuilder b(builtin_ops(), "net");
  const Value x = b.input("x", f64({3})), p = b.input("p", {DType::kBool, {}});
  cond(
      b, p, [&](GraphBuilder&) { return std::vector{x}; },
      [&](GraphBuilder&) { return std::vector{reduce_sum(x)}; });
  EXPECT_THAT(std::string(b.build().status().message()), HasSubstr("output 0 of else_branch"));
}

void expect_poisoned(const std::vector<Value>& values, size_t count) {
  EXPECT_EQ(values.size(), count);
  for (const Value& v : values) EXPECT_TRUE(v.is_poisoned());
}

TEST(Cond, GivesAsManyValuesAfterAMistake) {
  const auto check = [](const BranchBody& yes, const BranchBody& no, bool sound) {
    GraphBuilder b(builtin_ops());
    const Value p = sound ? b.input("p", {DType::kBool, {}}) : b.emit_one("none such", {});
    expect_poisoned(cond(b, p, yes, no), 2);
    EXPECT_FALSE(b.status().ok());
  };
  const auto scalars = [](GraphBuilder& b) { return std::vector{b.scalar(1), b.scalar(2)}; };
  const auto vectors = [](GraphBuilder& b) {
    return std::vector{b.scalar(1), iota(b, {4}, {.dtype = DType::kF32})};
  };
  const auto one = [](GraphBuilder& b) { return std::vector{b.scalar(1)}; };
  const auto bad = [](GraphBuilder& b) {
    return std::vector{b.scalar(1), b.emit_one("none such", {})};
  };
  check(scalars, scalars, false);
  check(scalars, vectors, true);
  check(scalars, one, true);
  check(one, scalars, true);
  check(scalars, bad, true);
}

TEST(Scan, GivesAsManyValuesAfterAMistake) {
  const auto check = [](const ScanBody& body, bool sound, Shape xs, const char* message) {
    GraphBuilder b(builtin_ops());
    const Value x = sound ? b.input("xs", f64(std::move(xs))) : b.emit_one("none such", {});
    const ScanValues out = scan(b, 3, {b.scalar(0, DType::kF64)}, {x}, body);
    expect_poisoned(out.carries, 1);
    expect_poisoned(out.ys, 2);
    EXPECT_THAT(std::string(b.build().status().message()), HasSubstr(message));
  };
  const auto sums = [](GraphBuilder&, Value i, auto carries, auto x) {
    return ScanValues{{carries[0] + x[0]}, {x[0], i}};
  };
  const auto no_carry = [](GraphBuilder&, Value i, auto, auto x) {
    return ScanValues{{}, {x[0], i}};
  };
  const auto other_carry = [](GraphBuilder&, Value i, auto, auto x) {
    return ScanValues{{i}, {x[0], i}};
  };
  check(sums, false, {}, "none such");
  check(sums, true, {}, "no axis of trips");
  check(sums, true, {4}, "trips and axis 0");
  check(no_carry, true, {3}, "0 carries for 1");
  check(other_carry, true, {3}, "carry 0 after a trip");
}

TEST(Scan, AccumulatesWithIndexCarryAndSlices) {
  for (bool reverse : {false, true}) {
    GraphBuilder b(builtin_ops());
    const Value xs = b.input("xs", f64({Dim::symbol("n")}));
    const ScanValues out = scan(b, Dim::symbol("n"), {b.scalar(0, DType::kF64)}, {xs},
                                [](GraphBuilder&, Value i, auto carries, auto x) {
                                  const Value next = carries[0] * 2.0 + x[0];
                                  return ScanValues{{next}, {next, i}};
                                },
                                {.reverse = reverse});
    b.output("last", out.carries[0]);
    b.output("each", out.ys[0]);
    b.output("index", out.ys[1]);
    const auto results = run(b, {numbers({1, 10, 100})});
    EXPECT_EQ(results[0].at(0), reverse ? 421 : 124);
    if (reverse) EXPECT_THAT(results[1].as<double>(), ElementsAre(421, 210, 100));
    if (!reverse) EXPECT_THAT(results[1].as<double>(), ElementsAre(1, 12, 124));
    EXPECT_THAT(results[2].as<int64_t>(), ElementsAre(0, 1, 2));
  }
}

// A recurrent net: its weights are captured, and their gradients sum over the trips.
TEST(Scan, IsDifferentiableByCarriesSlicesAndCaptures) {
  GraphBuilder b(builtin_ops());
  const Value w = b.input("w", f64({2})), h0 = b.input("h0", f64({2})),
              xs = b.input("xs", f64({4, 2}));
  const ScanValues out = scan(b, 4, {h0}, {xs}, [&](GraphBuilder&, Value, auto h, auto x) {
    const Value next = tanh(h[0] * w + x[0] * w);
    return ScanValues{{next}, {reduce_sum(next)}};
  });
  const Value loss = reduce_sum(out.carries[0]) + reduce_sum(square(out.ys[0])) + reduce_sum(w);
  check_gradients(b, loss, {w, h0, xs},
                  {numbers({0.5, -1.2}), numbers({0.3, 0.1}),
                   *random_tensor(DType::kF64, {4, 2}, -1, 1, "xs")});
}

// As graphs from files and inlined ones have it: bodies that were built here capture a value once.
TEST(Scan, CountsOnceWhatItsBodyTakesTwice) {
  GraphBuilder inner(builtin_ops(), "body");
  inner.input("i", {DType::kI64, {}});
  const Value carry = inner.input("c", f64({2}));
  const Value factor = inner.input("a", f64({2})), term = inner.input("b", f64({2}));
  inner.output("next", carry * factor + term);
  const auto body = inner.build();
  ASSERT_TRUE(body.ok()) << body.status();
  GraphBuilder b(builtin_ops());
  const Value h = b.input("h", f64({2})), w = b.input("w", f64({2}));
  const Attributes attributes =
      Attributes::of(ScanAttributes{.body = *body, .trips = {2}, .carries = 1});
  const Value last = b.emit_one("scan", {h, w, w}, attributes);
  check_gradients(b, reduce_sum(last), {h, w}, {numbers({0.3, -0.7}), numbers({0.5, -1.2})});
}

TEST(Scan, DrawsOtherRandomNumbersInEachTripAndTheSameInItsGradient) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f64({}));
  const Value key = b.constant(Tensor::scalar<int64_t>(42));
  const ScanValues out = scan(b, 5, {x}, {}, [&](GraphBuilder&, Value i, auto carry, auto) {
    const Value u = random_uniform(fold_in(key, i), {.shape = {}, .dtype = DType::kF64});
    return ScanValues{{carry[0] * (u + 0.5)}, {u}};
  });
  const auto g = gradients(b, out.carries[0], {x});
  b.output("y", out.carries[0]);
  b.output("u", out.ys[0]);
  b.output("g", g[0]);
  const auto results = run(b, {number(3)});
  double product = 1;
  for (int64_t i = 0; i < 5; ++i) {
    product *= results[1].at(i) + 0.5;
    if (i > 0) EXPECT_NE(results[1].at(i), results[1].at(i - 1));
  }
  EXPECT_NEAR(results[2].at(0), product, 1e-12);
}

TEST(Scan, RefusesACarryThatChangesItsType) {
  GraphBuilder b(builtin_ops());
  const Value x = b.input("x", f64({3}));
  scan(b, 2, {x}, {}, [](GraphBuilder&, Value, auto carry, auto) {
    return ScanValues{{reduce_sum(carry[0])}, {}};
  });
  EXPECT_THAT(std::string(b.build().status().message()), HasSubstr("carry 0"));
}

// Newton's square root; the number of trips depends on the data.
Value newton(GraphBuilder& b, Value a, bool bounded) {
  const auto condition = [&](GraphBuilder&, absl::Span<const Value> x) {
    return greater(abs(square(x[0]) - a), 1e-12);
  };
  const auto body = [&](GraphBuilder&, absl::Span<const Value> x) {
    return std::vector{(x[0] + a / x[0]) * 0.5};
  };
  const std::vector<Value> start = {a};
  return bounded ? while_loop(b, start, 30, condition, body)[0]
                 : while_loop(b, start, condition, body)[0];
}

TEST(While, RunsUntilItsConditionFails) {
  GraphBuilder b(builtin_ops());
  b.output("root", newton(b, b.input("a", f64({})), false));
  EXPECT_NEAR(run(b, {number(2)})[0].at(0), std::sqrt(2), 1e-12);
}

TEST(While, IsDifferentiableWithABound) {
  GraphBuilder b(builtin_ops());
  const Value a = b.input("a", f64({}));
  const auto g = gradients(b, newton(b, a, true), {a});
  b.output("slope", g[0]);
  EXPECT_NEAR(run(b, {number(2)})[0].at(0), 0.5 / std::sqrt(2), 1e-9);
}

TEST(While, SaysThatItCannotBeDifferentiatedWithoutABound) {
  GraphBuilder b(builtin_ops());
  const Value a = b.input("a", f64({}));
  gradients(b, newton(b, a, false), {a});
  EXPECT_THAT(std::string(b.build().status().message()), HasSubstr("max_trips"));
}

}  // namespace
}  // namespace modellib
