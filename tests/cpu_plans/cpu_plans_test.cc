// What plans for the CPU are made of: chains of usual layers become the steps that they should, and
// give what the reference gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/variable_store.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/text.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/batch_norm.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/embedding.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"
#include "modellib/passes/compile.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// How many steps of each kernel the plan has.
using Steps = std::map<std::string, int>;

Steps steps_of(const CpuProgram& program) {
  Steps steps;
  const fb::PlanT& plan = program.compiled.lowered.plan;
  for (const auto& step : plan.entries[0]->sequences[0]->steps) ++steps[plan.kernels[step->kernel]];
  return steps;
}

std::vector<std::string> plain_kernels(const CpuProgram& program) {
  std::vector<std::string> plain;
  for (const std::string& name : program.compiled.lowered.plan.kernels) {
    for (const runtime::Kernel& kernel : cpu::cpu_kernels()) {
      if (name == kernel.name && kernel.plain) plain.push_back(name);
    }
  }
  return plain;
}

class Net {
 public:
  Net() : b_(builtin_ops(), "net") {}
  GraphBuilder& builder() { return b_; }
  Value input(const char* name, Shape shape) {
    return b_.input(name, {DType::kF32, std::move(shape)});
  }
  Value weight(std::vector<int64_t> shape, double low = -0.5, double high = 0.5) {
    return b_.constant(
        *random_tensor(DType::kF32, shape, low, high, absl::StrCat("weight ", count_++)));
  }
  // Convolution and batch norm, as a trained network has them.
  Value conv_norm(Value x, int64_t out, int64_t kernel, int64_t stride = 1, int64_t groups = 1) {
    const int64_t channels = x.dim(1).value(), pad = kernel / 2;
    const Value y = conv(x, weight({out, channels / groups, kernel, kernel}),
                         {.strides = {stride, stride},
                          .padding_low = {pad, pad},
                          .padding_high = {pad, pad},
                          .groups = groups});
    return batch_norm_inference(y, weight({out}), weight({out}, 0.5, 2), weight({out}),
                                weight({out}));
  }
  GraphRef build() {
    absl::StatusOr<GraphRef> graph = b_.build();
    EXPECT_TRUE(graph.ok()) << graph.status();
    return graph.ok() ? *graph : nullptr;
  }

 private:
  GraphBuilder b_;
  int count_ = 0;
};

std::vector<Tensor> inputs_of(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (const ValueId id : graph.inputs()) {
    inputs.push_back(*random_tensor(graph.type(id).dtype, *static_extents(graph.type(id).shape), -1,
                                    1, graph.value(id).name));
  }
  return inputs;
}

// Compiles the graph; its results are those of the reference, the same with one worker and two.
CpuProgram check(const GraphRef& graph, double tolerance = 1e-4) {
  const std::vector<Tensor> inputs = inputs_of(*graph);
  const absl::StatusOr<ReferenceResult> expected = run_reference(graph, inputs);
  EXPECT_TRUE(expected.ok()) << expected.status();
  std::vector<Tensor> first;
  for (const int threads : {1, 2}) {
    const absl::StatusOr<CpuResult> got = run_on_cpu(graph, inputs, {}, threads);
    EXPECT_TRUE(got.ok()) << got.status();
    if (!got.ok() || !expected.ok()) continue;
    for (size_t i = 0; i < got->outputs.size(); ++i) {
      EXPECT_EQ(difference(got->outputs[i], expected->outputs[i], tolerance), "") << i;
      if (threads == 2) EXPECT_TRUE(got->outputs[i].identical(first[i]));
    }
    first = got->outputs;
  }
  absl::StatusOr<CpuProgram> program = compile_for_cpu(graph);
  EXPECT_TRUE(program.ok()) << program.status();
  return program.ok() ? *std::move(program) : CpuProgram();
}

// Weights in f16 are cast and packed ahead, not in each run.
TEST(CpuPlans, ConstantsOfOtherTypesArePackedAhead) {
  Net net;
  GraphBuilder& b = net.builder();
  const Value x = b.input("x", {DType::kF16, {200, 700}});
  b.output("y", matmul(x, b.constant(*random_tensor(DType::kF16, {700, 800}, -0.1, 0.1, "w"))));
  EXPECT_EQ(steps_of(check(net.build(), 1e-2)), (Steps{{"cpu.tile", 2}, {"cpu.matmul_f32", 1}}));
}

TEST(CpuPlans, AResidualNetworkIsConvolutionsInOneLayout) {
  Net net;
  Value x = relu(net.conv_norm(net.input("x", {2, 3, 32, 32}), 16, 7, 2));
  x = max_pool(
      x, {.kernel = {3, 3}, .strides = {2, 2}, .padding_low = {1, 1}, .padding_high = {1, 1}});
  Value y = relu(net.conv_norm(x, 16, 3));
  x = relu(net.conv_norm(y, 16, 3) + x);
  y = relu(net.conv_norm(x, 32, 3, 2));
  x = relu(net.conv_norm(y, 32, 3) + net.conv_norm(x, 32, 1, 2));
  const Value mean = reshape(mean_over(x, {2, 3}), {2, 32});
  net.builder().output("y", matmul(mean, net.weight({32, 10})));
  const CpuProgram program = check(net.build());
  // The first image is copied; batch norms, activations and sums are in the convolutions.
  EXPECT_EQ(steps_of(program), (Steps{{"cpu.copy", 1},
                                      {"cpu.conv_f32", 6},
                                      {"cpu.pool", 1},
                                      {"cpu.reduce", 1},
                                      {"cpu.matmul_f32", 1}}));
  EXPECT_THAT(plain_kernels(program), IsEmpty());
}

// A step that could run in place, on nothing.
TEST(CpuPlans, BuffersMayBeEmpty) {
  Net net;
  const Value w = net.weight({4, 4});
  net.builder().output("y", matmul(exp(matmul(net.input("x", {0, 4}), w)), w));
  EXPECT_THAT(plain_kernels(check(net.build())), IsEmpty());
}

// An image that was scaled up, and the one it is added to.
TEST(CpuPlans, ExtentsThatAConstraintHoldsEqualAreOne) {
  Net net;
  const Dim n = Dim::symbol("n"), m = Dim::symbol("m");
  const Value x = net.input("x", {2, n, 3}), pairs = net.input("pairs", {2, m, 2, 3});
  net.builder().output("y", x + reshape(pairs, {2, m * 2, 3}));
  const GraphRef graph = net.build();
  CompileOptions options;
  options.dims = {{"m", {1, 8}}, {"n", {1, 16}}};
  const absl::StatusOr<CpuProgram> program = compile_for_cpu(graph, options);
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(steps_of(*program), (Steps{{"cpu.tile", 1}}));

  auto store = runtime::VariableStore::create(program->executable, {});
  ASSERT_TRUE(store.ok()) << store.status();
  const auto session = runtime::Session::create(program->executable, *std::move(store), {});
  ASSERT_TRUE(session.ok()) << session.status();
  const auto input = [](std::vector<int64_t> shape, const char* name) {
    return *random_tensor(DType::kF32, shape, -1, 1, name);
  };
  for (const int64_t pairs_in : {1, 3, 8}) {
    const std::vector<Tensor> inputs = {input({2, 2 * pairs_in, 3}, "x"),
                                        input({2, pairs_in, 2, 3}, "pairs")};
    const auto got = (*session)->run_tensors(runtime::EntryId(0), inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_TRUE((*got)[0].identical(run_reference(graph, inputs)->outputs[0])) << pairs_in;
  }
  EXPECT_FALSE(
      (*session)
          ->run_tensors(runtime::EntryId(0), {input({2, 5, 3}, "x"), input({2, 3, 2, 3}, "pairs")})
          .ok());
}

TEST(CpuPlans, WideConvolutionsAreProductsOfTiles) {
  Net net;
  const Value x = net.input("x", {2, 64, 20, 18});
  const Value y = relu(net.conv_norm(x, 64, 3) + x);
  net.builder().output("y", mean_over(y, {2, 3}));
  const CpuProgram program = check(net.build());
  EXPECT_EQ(steps_of(program), (Steps{{"cpu.copy", 1},
                                      {"cpu.winograd_in_f32", 1},
                                      {"cpu.matmul_f32", 1},
                                      {"cpu.winograd_out_f32", 1},
                                      {"cpu.reduce", 1}}));
}

TEST(CpuPlans, ADepthwiseNetworkToo) {
  Net net;
  Value x = relu6(net.conv_norm(net.input("x", {1, 3, 24, 24}), 16, 3, 2));
  for (int i = 0; i < 2; ++i) {
    Value y = relu6(net.conv_norm(x, 48, 1));
    y = relu6(net.conv_norm(y, 48, 3, 1, 48));
    x = net.conv_norm(y, 16, 1) + x;
  }
  net.builder().output("y", mean_over(x, {2, 3}));
  EXPECT_EQ(
      steps_of(check(net.build())),
      (Steps{{"cpu.copy", 1}, {"cpu.conv_f32", 5}, {"cpu.depthwise_f32", 2}, {"cpu.reduce", 1}}));
}

TEST(CpuPlans, TrainingOfImagesKeepsTheLayoutOfItsGradients) {
  Net net;
  const Value x = net.input("x", {4, 3, 16, 16});
  const Value w1 = net.input("w1", {8, 3, 3, 3}), w2 = net.input("w2", {8, 8, 3, 3});
  const Value h = batch_norm_training(conv(x, w1), net.weight({8}), net.weight({8})).y;
  const Value y = conv(max_pool(relu(h), {.kernel = {2, 2}}), w2);
  const Value loss = reduce_mean(square(y));
  const std::vector<Value> g = gradients(net.builder(), loss, {w1, w2});
  net.builder().output("loss", loss);
  net.builder().output("g1", g[0]);
  net.builder().output("g2", g[1]);
  const CpuProgram program = check(net.build());
  EXPECT_THAT(plain_kernels(program), IsEmpty());
}

TEST(CpuPlans, AttentionReadsProjectionsWhereTheyLie) {
  Net net;
  const Value x = net.input("x", {2, 20, 32});
  const auto heads = [&](const Value& v) {
    return transpose(reshape(v, {2, 20, 4, 8}), {0, 2, 1, 3});
  };
  const Value q = heads(matmul(x, net.weight({32, 32}))),
              k = heads(matmul(x, net.weight({32, 32})));
  const Value v = heads(matmul(x, net.weight({32, 32})));
  const Value out = transpose(attention(q, k, v, {.is_causal = true}), {0, 2, 1, 3});
  const Value y = matmul(reshape(out, {2, 20, 32}), net.weight({32, 32}));
  const std::vector<Value> g = gradients(net.builder(), reduce_sum(square(y)), {x});
  net.builder().output("y", y);
  net.builder().output("g", g[0]);
  const Steps steps = steps_of(check(net.build(), 1e-3));
  EXPECT_EQ(steps.count("cpu.copy"), 0u);
  EXPECT_EQ(steps.at("cpu.attention_f32"), 1);
  EXPECT_EQ(steps.at("cpu.attention_grad_f32"), 1);
}

// As exporters write it: the row that sees no key is NaN, unless they guard against it.
TEST(CpuPlans, AttentionOfARowThatSeesNothing) {
  for (const bool guards : {false, true}) {
    GraphBuilder b(builtin_ops(), "attention");
    const Value q = b.input("q", {DType::kF32, {1, 2, 3, 4}});
    const Value k = b.input("k", {DType::kF32, {1, 2, 5, 4}});
    const Value v = b.input("v", {DType::kF32, {1, 2, 5, 6}});
    const Value mask = b.input("mask", {DType::kBool, {3, 5}});
    const Value scores = matmul(q, k, {.transpose_b = true}) * 0.5;
    Value p = softmax(where(mask, scores, -std::numeric_limits<double>::infinity()));
    if (guards) p = where(is_nan(p), 0.0, p);
    b.output("y", matmul(p, v));
    const auto graph = b.build();
    ASSERT_TRUE(graph.ok()) << graph.status();
    Tensor seen = *Tensor::zeros(DType::kBool, {3, 5});
    for (const int64_t i : {0, 1, 2, 3, 4, 10, 12}) seen.set_int(i, 1);
    const std::vector<Tensor> inputs = {*random_tensor(DType::kF32, {1, 2, 3, 4}, -1, 1, "q"),
                                        *random_tensor(DType::kF32, {1, 2, 5, 4}, -1, 1, "k"),
                                        *random_tensor(DType::kF32, {1, 2, 5, 6}, -1, 1, "v"),
                                        seen};
    const auto got = run_on_cpu(*graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    const auto want = run_reference(*graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status();
    EXPECT_EQ(difference(got->outputs[0], want->outputs[0], 1e-5), "");
    EXPECT_EQ(std::isnan(got->outputs[0].at(6)), !guards);
    const auto program = compile_for_cpu(*graph);
    ASSERT_TRUE(program.ok()) << program.status();
    EXPECT_EQ(steps_of(*program).count("cpu.attention_f32"), 1u);
  }
}

// Two free extents of which only the addition says that they are one: each operand keeps strides of
// its own, and a run in which they differ is refused.
TEST(CpuPlans, ExtentsOfDifferentBoundsThatAConstraintHoldsEqual) {
  GraphBuilder b(builtin_ops(), "sum");
  const Value x = b.input("x", {DType::kF32, {4, Dim::symbol("rows"), Dim::symbol("n")}});
  const Value y = b.input("y", {DType::kF32, {4, Dim::symbol("rows"), Dim::symbol("m")}});
  b.output("z", exp(x + y) * reduce_max(y, {.axes = {2}, .keepdims = true}));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  CompileOptions options;
  options.dims = {{"rows", {1, 8}}, {"n", {1, 20}}, {"m", {1, 30}}};
  const auto program = compile_for_cpu(*graph, options);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto session = runtime::Session::create(program->executable);
  ASSERT_TRUE(session.ok()) << session.status();
  const runtime::EntryId entry = *program->executable->entry("main");
  for (const int64_t n : {int64_t{20}, int64_t{1}, int64_t{7}}) {
    const std::vector<Tensor> inputs = {*random_tensor(DType::kF32, {4, 3, n}, -1, 1, "x"),
                                        *random_tensor(DType::kF32, {4, 3, n}, -1, 1, "y")};
    const auto got = (*session)->run_tensors(entry, inputs);
    ASSERT_TRUE(got.ok()) << n << ": " << got.status();
    const auto want = run_reference(*graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status();
    EXPECT_EQ(difference(got->at(0), want->outputs.at(0), 1e-5), "") << n;
  }
  const auto refused =
      (*session)->run_tensors(entry, {*random_tensor(DType::kF32, {4, 3, 5}, -1, 1, "x"),
                                      *random_tensor(DType::kF32, {4, 3, 6}, -1, 1, "y")});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << refused.status();
}

// A negative id is an error, for which nothing is spent where the graph knows the ids.
TEST(CpuPlans, IdsAreCheckedWhereTheyAreNotKnown) {
  const auto lookup = [](const std::function<Value(Value table)>& rows) {
    GraphBuilder b(builtin_ops(), "net");
    b.output("rows", rows(b.input("table", {DType::kF32, {6, 3}})));
    const absl::StatusOr<GraphRef> graph = b.build();
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *graph;
  };
  const auto steps = [&](const std::function<Value(Value table)>& rows) {
    return steps_of(*compile_for_cpu(lookup(rows)));
  };
  const auto positions = [](Value table) { return iota(*table.builder(), {4}); };
  EXPECT_EQ(steps([&](Value t) { return embedding(t, positions(t)); }),
            steps([&](Value t) { return gather(t, positions(t)); }));
  const auto known = [](Value table) {
    return table.builder()->constant(*Tensor::of<int64_t>({3}, std::vector<int64_t>{0, 5, 2}));
  };
  EXPECT_EQ(steps([&](Value t) { return embedding(t, known(t)); }), (Steps{{"cpu.gather", 1}}));

  const GraphRef graph = lookup([](Value t) {
    return embedding(t, t.builder()->input("ids", {DType::kI64, {2}}));
  });
  const Tensor table = *random_tensor(DType::kF32, {6, 3}, -1, 1, "table");
  const auto code = [&](int64_t id) {
    const Tensor ids = *Tensor::of<int64_t>({2}, std::vector<int64_t>{0, id});
    return run_on_cpu(graph, {table, ids}).status().code();
  };
  EXPECT_EQ(code(5), absl::StatusCode::kOk);
  EXPECT_EQ(code(6), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(-1), absl::StatusCode::kOutOfRange);
}

// Kernels smaller than, equal to and larger than their strides, with and without padding, dilated
// and in groups; extents that are known and that are not. oneDNN does the last two where it can.
TEST(CpuPlans, TransposedConvolutionsAreConvolutions) {
  struct Case {
    int64_t kernel, stride, padding, output_padding, dilation = 1, groups = 1;
  };
  for (const Case& c :
       {Case{2, 2, 0, 0}, Case{3, 2, 1, 1}, Case{4, 2, 1, 0}, Case{3, 1, 1, 0}, Case{5, 3, 1, 0},
        Case{1, 2, 0, 1}, Case{2, 3, 0, 1}, Case{3, 1, 2, 0, 2}, Case{3, 2, 2, 1, 2},
        Case{2, 2, 0, 1, 2}, Case{2, 2, 1, 0, 3}, Case{3, 2, 1, 1, 1, 3}, Case{3, 1, 2, 0, 2, 3}}) {
    for (const bool free : {false, true}) {
      SCOPED_TRACE(absl::StrCat("kernel ", c.kernel, " stride ", c.stride, " padding ", c.padding,
                                " dilation ", c.dilation, " groups ", c.groups,
                                free ? " free" : ""));
      Net net;
      const Dim height = free ? Dim::symbol("height") : Dim(5);
      const Value x = net.input("x", {2, 3, height, 4});
      const Value y = conv_transpose(x, net.weight({3, 6 / c.groups, c.kernel, c.kernel}),
                                     {.strides = {c.stride, c.stride},
                                      .padding_low = {c.padding, c.padding},
                                      .padding_high = {c.padding, c.padding},
                                      .dilations = {c.dilation, c.dilation},
                                      .groups = c.groups},
                                     {c.output_padding, c.output_padding});
      net.builder().output("y", y);
      const GraphRef graph = net.build();
      ASSERT_NE(graph, nullptr);
      CompileOptions options;
      if (free) options.dims = {{"height", {1, 9}}};
      const auto program = compile_for_cpu(graph, options);
      ASSERT_TRUE(program.ok()) << program.status();
      const bool by_library = !free && (c.dilation > 1 || c.groups > 1);
      EXPECT_EQ(steps_of(*program)[by_library ? "cpu.conv2d" : "cpu.conv_f32"], 1);
      EXPECT_THAT(plain_kernels(*program), IsEmpty());
      const auto session = runtime::Session::create(program->executable);
      ASSERT_TRUE(session.ok()) << session.status();
      const std::vector<Tensor> inputs = {*random_tensor(DType::kF32, {2, 3, 5, 4}, -1, 1, "x")};
      const auto got = (*session)->run_tensors(runtime::EntryId(0), inputs);
      ASSERT_TRUE(got.ok()) << got.status();
      const auto want = run_reference(graph, inputs);
      ASSERT_TRUE(want.ok()) << want.status();
      EXPECT_EQ(difference(got->at(0), want->outputs.at(0), 1e-5), "");
    }
  }
}

// Most of the results see nothing of the image: a filter of all phases would be zeros without end.
TEST(CpuPlans, TransposedConvolutionsOfStridesFarBeyondTheKernel) {
  for (const bool free : {false, true}) {
    SCOPED_TRACE(free ? "free" : "known");
    Net net;
    const Dim height = free ? Dim::symbol("height") : Dim(2);
    const Value x = net.input("x", {1, 3, height, 1});
    const Value y = conv_transpose(x, net.weight({3, 5, 1, 1}), {.strides = {32, 32}}, {31, 31});
    net.builder().output("y", y);
    const GraphRef graph = net.build();
    ASSERT_NE(graph, nullptr);
    CompileOptions options;
    if (free) options.dims = {{"height", {1, 4}}};
    const auto program = compile_for_cpu(graph, options);
    ASSERT_TRUE(program.ok()) << program.status();
    EXPECT_EQ(steps_of(*program)["cpu.conv_f32"], 0);
    const auto session = runtime::Session::create(program->executable);
    ASSERT_TRUE(session.ok()) << session.status();
    const std::vector<Tensor> inputs = {*random_tensor(DType::kF32, {1, 3, 2, 1}, -1, 1, "x")};
    const auto got = (*session)->run_tensors(runtime::EntryId(0), inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    const auto want = run_reference(graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status();
    EXPECT_EQ(difference(got->at(0), want->outputs.at(0), 1e-5), "");
  }
}

// Each group of four phases fills a quarter of a panel, and of the taps that it sees most are
// zeros.
TEST(CpuPlans, TransposedConvolutionsOfGroupsThatFillPanelsBadly) {
  Net net;
  const Value x = net.input("x", {1, 3, Dim::symbol("height"), 2});
  const Value y = conv_transpose(x, net.weight({3, 1, 3, 3}),
                                 {.strides = {2, 2}, .dilations = {3, 3}, .groups = 3}, {1, 1});
  net.builder().output("y", y);
  const GraphRef graph = net.build();
  ASSERT_NE(graph, nullptr);
  CompileOptions options;
  options.dims = {{"height", {1, 4}}};
  const auto program = compile_for_cpu(graph, options);
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(steps_of(*program)["cpu.conv_f32"], 0);
  const auto session = runtime::Session::create(program->executable);
  ASSERT_TRUE(session.ok()) << session.status();
  const std::vector<Tensor> inputs = {*random_tensor(DType::kF32, {1, 3, 2, 2}, -1, 1, "x")};
  const auto got = (*session)->run_tensors(runtime::EntryId(0), inputs);
  ASSERT_TRUE(got.ok()) << got.status();
  const auto want = run_reference(graph, inputs);
  ASSERT_TRUE(want.ok()) << want.status();
  EXPECT_EQ(difference(got->at(0), want->outputs.at(0), 1e-5), "");
}

// More axes than a tile program has: no region is made of such, and copies spread the operands
// first. Copies walk eight axes.
TEST(CpuPlans, BroadcastsAlongManyAxes) {
  Net net;
  const Value a = net.input("a", {2, 1, 2, 1, 2, 1, 2, 1});
  const Value b = net.input("b", {1, 2, 1, 2, 1, 2, 1, 2});
  net.builder().output("y", relu(a + b));
  net.builder().output("wide", broadcast_to(a, Shape(8, Dim(2))));
  EXPECT_EQ(steps_of(check(net.build())), (Steps{{"cpu.copy", 3}, {"cpu.tile", 2}}));

  Net larger;
  const Value c = larger.input("c", {2, 1, 2, 1, 2, 1, 2, 1, 2, 1});
  const Value d = larger.input("d", {1, 2, 1, 2, 1, 2, 1, 2, 1, 2});
  larger.builder().output("y", c + d);
  const absl::Status status = compile_for_cpu(larger.build()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("(add): "));
}

// Longer than what oneDNN is given.
TEST(CpuPlans, ConvolutionsOfLongSignals) {
  const int64_t length = (int64_t{1} << 20) + 3;
  Net net;
  const Value x = net.input("x", {1, 1, length});
  const Value filter = net.builder().constant(*Tensor::of<float>({1, 1, 2}, {2, -1}));
  net.builder().output("y", conv(x, filter));
  const GraphRef graph = net.build();
  ASSERT_NE(graph, nullptr);
  Tensor signal = *Tensor::zeros(DType::kF32, {1, 1, length});
  signal.set(0, 1);
  signal.set(length - 1, 3);
  const auto got = run_on_cpu(graph, std::vector<Tensor>{signal});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->outputs[0].at(0), 2);
  EXPECT_EQ(got->outputs[0].at(1), 0);
  EXPECT_EQ(got->outputs[0].at(length - 2), -3);
}

TEST(CpuPlans, ConvolutionsOfNothingAreNamed) {
  Net net;
  const Value x = net.input("x", {1, 1, 0});
  net.builder().output("y",
                       conv(x, net.weight({1, 1, 1}), {.padding_low = {1}, .padding_high = {1}}));
  const absl::Status status = compile_for_cpu(net.build()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("(conv): "));
}

// Two elements share a byte: no place can be said for the second.
TEST(CpuPlans, SlicesOfPackedElementsAreNamed) {
  const auto program = parse_program(R"(graph "g" (x: i32[4,3]) {
    p = cast(x) {dtype: i4}
    y = scan(p) {
      body: graph "b" (i: i64[], a: i4[3]) { return c = cast(a) {dtype: i32} },
      trips: [4], carries: 0, xs: 1}
    return y
  })",
                                     builtin_ops());
  ASSERT_TRUE(program.ok()) << program.status();
  const absl::Status status = compile_for_cpu(program->entries[0].graph).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("slices of packed elements"));
}

// Each of these was planned for sizes that one of its operands cannot have.
TEST(CpuPlans, ExtentsThatAreHeldEqualAreOfOneSize) {
  GraphBuilder b(builtin_ops(), "equal");
  const Value n = b.input("n", {DType::kF32, {4, Dim::symbol("n")}});
  const Value m = b.input("m", {DType::kF32, {Dim::symbol("m"), 4}});
  b.output("product", matmul(n, m));
  b.output("joined", concat(std::vector<Value>{n, transpose(m, {1, 0})}, 0));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  CompileOptions options;
  options.dims = {{"n", {1, 20}}, {"m", {1, 10}}};
  const auto program = compile_for_cpu(*graph, options);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto session = runtime::Session::create(program->executable);
  ASSERT_TRUE(session.ok()) << session.status();
  const std::vector<Tensor> inputs = {*random_tensor(DType::kF32, {4, 10}, -1, 1, "n"),
                                      *random_tensor(DType::kF32, {10, 4}, -1, 1, "m")};
  const auto got = (*session)->run_tensors(*program->executable->entry("main"), inputs);
  ASSERT_TRUE(got.ok()) << got.status();
  const auto want = run_reference(*graph, inputs);
  ASSERT_TRUE(want.ok()) << want.status();
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(difference(got->at(i), want->outputs.at(i), 1e-5), "") << i;
  }
}

// A branch may say itself what it requires; the graph around it does not, then.
TEST(CpuPlans, ConstraintsOfBranchesHoldForThePlan) {
  const auto program = parse_program(R"(graph "main" (p: bool[], x: f32[n], y: f32[m]) {
    dim n in 1..8
    dim m in 1..8
    z = cond(p, x, y, x, y) {
      then_branch: graph "then" (a: f32[n], b: f32[m]) {
        require n == m "operands of the sum"
        return c = add(a, b)
      },
      else_branch: graph "else" (a: f32[n], b: f32[m]) { return d = neg(a) },
      then_operands: 2}
    return z
  })",
                                     builtin_ops());
  ASSERT_TRUE(program.ok()) << program.status();
  const auto compiled = compile_for_cpu(program->entries[0].graph);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const auto session = runtime::Session::create(compiled->executable);
  ASSERT_TRUE(session.ok()) << session.status();
  const auto run = [&](int64_t n, int64_t m) {
    return (*session)
        ->run_tensors(*compiled->executable->entry("main"),
                      {*Tensor::zeros(DType::kBool, {}), *Tensor::zeros(DType::kF32, {n}),
                       *Tensor::zeros(DType::kF32, {m})})
        .status();
  };
  EXPECT_EQ(run(3, 3), absl::OkStatus());
  EXPECT_EQ(run(8, 2).code(), absl::StatusCode::kInvalidArgument);
}

TEST(CpuPlans, AnUpdateOfNoRowsIsNothing) {
  GraphBuilder b(builtin_ops(), "cache");
  const Value x = b.input("x", {DType::kF32, {0, 8, 4}});
  const Value update = b.input("update", {DType::kF32, {0, 1, 4}});
  const Value one = b.input("one", {DType::kI64, {}}), each = b.input("each", {DType::kI64, {0}});
  b.output("from_one", update_slice(x, update, one, 1));
  b.output("from_each", update_slice(x, update, each, 1));
  const auto graph = b.build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto got = run_on_cpu(
      *graph, std::vector<Tensor>{*Tensor::zeros(DType::kF32, {0, 8, 4}),
                                  *Tensor::zeros(DType::kF32, {0, 1, 4}),
                                  Tensor::scalar<int64_t>(1), *Tensor::zeros(DType::kI64, {0})});
  EXPECT_TRUE(got.ok()) << got.status();
}

// Nothing but the order of the collectives holds these steps back, and ranks must agree on it.
TEST(CpuPlans, CollectivesOfALoopOrBranchStandInTheOrderOfAll) {
  const char* const loop = R"(scan(y) {
      body: graph "body" (i: i64[], s: f32[4]) { return t = all_reduce(s) },
      trips: [3], carries: 1})";
  const char* const branch_with_a_loop = R"(cond(p, y, y) {
      then_branch: graph "then" (s: f32[4]) {
        return t = scan(s) {
          body: graph "body" (i: i64[], u: f32[4]) { return v = all_reduce(u) },
          trips: [3], carries: 1}
      },
      else_branch: graph "else" (s: f32[4]) { return t = neg(s) },
      then_operands: 1})";
  for (const char* const control : {loop, branch_with_a_loop}) {
    const auto graph =
        parse_graph(absl::StrCat("graph \"g\" (p: bool[], x: f32[4], y: f32[4], z: f32[4]) {\n"
                                 "  a = all_reduce(x)\n  b = ",
                                 control, "\n  c = all_reduce(z)\n  return a, b, c\n}"),
                    builtin_ops());
    ASSERT_TRUE(graph.ok()) << graph.status();
    const auto program = compile_for_cpu(*graph);
    ASSERT_TRUE(program.ok()) << program.status();
    const fb::PlanT& plan = program->compiled.lowered.plan;
    std::vector<const fb::StepT*> chain;
    for (const auto& step : plan.entries[0]->sequences[0]->steps) {
      if (!step->sequences.empty() || plan.kernels[step->kernel] == "comm.all_reduce") {
        chain.push_back(step.get());
      }
    }
    ASSERT_EQ(chain.size(), 3u);
    EXPECT_FALSE(chain[1]->sequences.empty()) << "the order of the graph";
    for (size_t i = 1; i < chain.size(); ++i) {
      EXPECT_NE(chain[i]->lane, chain[i - 1]->lane);
      ASSERT_EQ(chain[i - 1]->signals.size(), 1u) << i;
      EXPECT_THAT(chain[i]->waits, Contains(chain[i - 1]->signals[0])) << i;
    }
  }
}

// The work of a row is more than a number can say.
TEST(CpuPlans, AHugeProductIsCutIntoRows) {
  for (const bool batched : {false, true}) {
    for (const std::string type : {"f64", "f32"}) {
      const std::string r = batched ? "r," : "";
      const auto graph =
          parse_graph(absl::StrCat("graph \"g\" (a: ", type, "[", r, "m,3*p], b: ", type, "[", r,
                                   "2*q,n]) {", batched ? "\n  dim r in 1..4" : "", R"(
    dim m in 1..4
    dim n in 1..68719476736
    dim p in 1..562949953421312
    dim q in 1..524288
    return matmul(a, b)
  })"),
                      builtin_ops());
      ASSERT_TRUE(graph.ok()) << graph.status();
      Program program;
      program.entries.push_back({"main", *graph});
      const auto compiled = compile(program, builtin_ops(), cpu::cpu_backend());
      ASSERT_TRUE(compiled.ok()) << compiled.status();
      const fb::PlanT& plan = compiled->lowered.plan;
      const auto& steps = plan.entries[0]->sequences[0]->steps;
      ASSERT_EQ(steps.size(), 1u);
      if (type == "f32") {
        EXPECT_EQ(plan.kernels[steps[0]->kernel], "cpu.matmul_f32");
      } else {
        EXPECT_EQ(steps[0]->scalars.back().value(), 1) << "rows_per_chunk";
      }
    }
  }
}

TEST(CpuPlans, AConvolutionOfNoChannelsIsRefused) {
  for (const std::vector<int64_t>& filter : {std::vector<int64_t>{0, 3, 3, 3}, {4, 0, 3, 3}}) {
    GraphBuilder b(builtin_ops(), "conv");
    const Value x = b.input("x", {DType::kF32, {1, filter[1], 8, 8}});
    b.output("y", conv(x, b.constant(*Tensor::zeros(DType::kF32, filter)), {}));
    EXPECT_EQ(b.build().status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace modellib
