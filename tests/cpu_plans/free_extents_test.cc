// Plans for any extents give what the reference gives, at each of several extents: the smallest,
// the largest, and such as fill no chunk or part.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/graph/text.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/repeat.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

GraphRef graph_of(const std::string& text) {
  const auto program = parse_program(text, builtin_ops());
  EXPECT_TRUE(program.ok()) << program.status();
  return program.ok() ? program->entries[0].graph : nullptr;
}

std::vector<Tensor> inputs_of(const Graph& graph, const DimBinding& binding) {
  std::vector<Tensor> inputs;
  for (const ValueId id : graph.inputs()) {
    std::vector<int64_t> extents;
    for (const Dim& d : graph.type(id).shape) extents.push_back(*d.evaluate(binding));
    inputs.push_back(*random_tensor(graph.type(id).dtype, extents, -2, 2, graph.value(id).name));
  }
  return inputs;
}

// One plan, run at each of the bindings. `inputs`: instead of random ones.
void check(const GraphRef& graph, const std::vector<DimBinding>& bindings,
           const std::vector<Tensor>& inputs = {}) {
  ASSERT_NE(graph, nullptr);
  const auto program = compile_for_cpu(graph);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto session = runtime::Session::create(program->executable, nullptr, {.threads = 2});
  ASSERT_TRUE(session.ok()) << session.status();
  for (const DimBinding& binding : bindings) {
    const std::vector<Tensor> given = inputs.empty() ? inputs_of(*graph, binding) : inputs;
    const auto expected = run_reference(graph, given);
    ASSERT_TRUE(expected.ok()) << expected.status();
    const auto got = (*session)->run_tensors(runtime::EntryId(0), given);
    ASSERT_TRUE(got.ok()) << got.status();
    std::string at;
    for (const auto& [symbol, value] : binding) absl::StrAppend(&at, symbol, " = ", value, " ");
    for (size_t i = 0; i < got->size(); ++i) {
      EXPECT_EQ(difference((*got)[i], expected->outputs[i], 1e-4), "") << at << "output " << i;
    }
  }
}

void check(const std::string& text, const std::vector<DimBinding>& bindings,
           const std::vector<Tensor>& inputs = {}) {
  check(graph_of(text), bindings, inputs);
}

// The gradient of the sum of f(x)² for x of this shape, with n in 0..8.
GraphRef gradient_of(const Shape& shape, const std::function<Value(Value)>& f) {
  GraphBuilder b(builtin_ops());
  b.set_range("n", {0, 8});
  const Value x = b.input("x", {DType::kF32, shape});
  b.output("g", gradients(b, reduce_sum(square(f(x))), {x})[0]);
  const auto graph = b.build();
  EXPECT_TRUE(graph.ok()) << graph.status();
  return graph.ok() ? *graph : nullptr;
}

Tensor ones(std::vector<int64_t> shape) {
  Tensor tensor = *Tensor::zeros(DType::kF32, shape);
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set(i, 1);
  return tensor;
}

std::vector<DimBinding> each(const std::string& symbol, std::vector<int64_t> values) {
  std::vector<DimBinding> bindings;
  for (const int64_t value : values) bindings.push_back({{symbol, value}});
  return bindings;
}

// Partial sums over images, of which a small batch has few.
TEST(FreeExtents, GradientsOfFilters) {
  for (const char* attributes : {"shape: [4,3,3,3]", "shape: [4,3,3,3], layout: \"NHWC\""}) {
    const bool last = std::string(attributes).find("NHWC") != std::string::npos;
    check(absl::StrCat("graph \"g\" (x: f32[batch,", last ? "6,5,3" : "3,6,5", "], dy: f32[batch,",
                       last ? "4,3,4" : "4,4,3",
                       "]) {\n  dim batch in 1..1000\n  return dw = conv_filter_gradient(x, dy) {",
                       attributes, "}\n}"),
          each("batch", {1, 2, 7, 8, 64, 65, 125}));
  }
  check(R"(graph "g" (x: f32[batch,4,6,5], dy: f32[batch,4,4,3]) {
      dim batch in 1..20
      return dw = conv_filter_gradient(x, dy) {shape: [4,1,3,3], groups: 4}
    })",
        each("batch", {1, 5, 19, 20}));
}

TEST(FreeExtents, ReductionsOfNothing) {
  for (const char* op : {"reduce_sum", "reduce_mean", "reduce_prod"}) {
    for (const char* axis : {"-1", "0"}) {
      check(absl::StrCat("graph \"g\" (x: f32[", axis[0] == '0' ? "n,4" : "4,n",
                         "]) {\n  dim n in 0..8\n  r = ", op, "(x) {axes: [", axis,
                         "], keepdims: true}\n  return y = neg(r)\n}"),
            each("n", {8, 0, 3}));
    }
  }
}

// The least number of each type, or its largest.
TEST(FreeExtents, LargestAndSmallestOfNothing) {
  const std::pair<const char*, const char*> reductions[] = {
      {"4,n", "-1"}, {"n,4", "0"}, {"n,2,n", "0,2"}};
  for (const char* dtype :
       {"f64", "f32", "f16", "bf16", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"}) {
    for (const auto& [shape, axes] : reductions) {
      SCOPED_TRACE(absl::StrCat(dtype, "[", shape, "]"));
      const std::string over = absl::StrCat("(x) {axes: [", axes, "], keepdims: true}");
      check(absl::StrCat("graph \"g\" (x: ", dtype, "[", shape, "]) {\n  dim n in 0..8\n",
                         "  return a = reduce_max", over, ", b = reduce_min", over, "\n}"),
            each("n", {8, 0, 3}));
    }
  }
}

TEST(FreeExtents, SoftmaxOfNothing) {
  check(R"(graph "g" (x: f32[n,3], y: f32[3,n]) {
      dim n in 0..8
      return a = softmax(x) {axis: 0}, b = log_softmax(y) {axis: -1},
             c = logsumexp(x) {axes: [0]}, d = logsumexp(y) {axes: [1], keepdims: true}
    })",
        each("n", {8, 0, 3}));
  for (const char* keys : {"n", "0"}) {
    const bool is_free = keys[0] == 'n';
    check(absl::StrCat("graph \"g\" (q: f32[1,2,3,4], k: f32[1,2,", keys, ",4], v: f32[1,2,", keys,
                       ",4]) {\n", is_free ? "  dim n in 0..8\n" : "",
                       "  out, lse = attention(q, k, v)\n  return out, lse\n}"),
          is_free ? each("n", {8, 0, 3}) : std::vector<DimBinding>{{}});
  }
}

TEST(FreeExtents, NothingHasNoLargestElement) {
  const GraphRef graph = graph_of(R"(graph "g" (x: f32[n,3]) {
      dim n in 0..8
      return y = argmax(x) {axis: 0}
    })");
  check(graph, each("n", {8, 1}));
  const std::vector<Tensor> nothing = inputs_of(*graph, {{"n", 0}});
  EXPECT_FALSE(run_reference(graph, nothing).ok());
  const auto program = compile_for_cpu(graph);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto session = runtime::Session::create(program->executable, nullptr, {.threads = 2});
  ASSERT_TRUE(session.ok()) << session.status();
  const auto got = (*session)->run_tensors(runtime::EntryId(0), nothing);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << got.status();
}

// Nothing leaves no gaps between elements, and no room for a window.
TEST(FreeExtents, GradientsOfNothing) {
  const Dim n = Dim::symbol("n");
  for (const int64_t start : {0, 1}) {
    const auto strided = [&](Value x) { return slice_axis(x, 0, start, n, 2); };
    check(gradient_of({n}, strided), each("n", {8, 0, 1, 2, 3}));
    check(gradient_of({n, 3}, strided), each("n", {7, 0, 1}));
  }
  const auto larger = [](Value x) { return repeat_interleave(x, {1, 1, 2, 2}); };
  check(gradient_of({1, 2, n, 3}, larger), each("n", {8, 0, 1}));
  check(gradient_of({1, 2, 0, 3}, larger), {{}});
}

// Windows without padding: the pixels are (h - 2)*(w - 2), whose terms alone say far less.
TEST(FreeExtents, BothAxesOfAnImage) {
  const std::vector<DimBinding> sizes = {
      {{"h", 8}, {"w", 8}}, {{"h", 64}, {"w", 9}}, {{"h", 10}, {"w", 64}}, {{"h", 64}, {"w", 64}}};
  const auto image = [](absl::string_view type, absl::string_view body) {
    return absl::StrCat("graph \"g\" (x: ", type,
                        ", k: f32[8,3,3,3], l: f32[8,8,3,3]) {\n  dim h in 8..64\n"
                        "  dim w in 8..64\n  ",
                        body, "\n}");
  };
  check(image("f32[1,3,h,w]", "c = conv(x, k)\n  return y = reduce_mean(c) {axes: [2,3]}, k, l"),
        sizes);
  check(image("f32[1,3,h,w]", "c = conv(x, k)\n  d = conv(c, l)\n  return y = relu(d), k"), sizes);
  check(image("f32[2,h,w]",
              "s = slice(x) {starts: [0,1,1], limits: [2,h,w]}\n  return y = argmax(s) {axis: 0}, "
              "k, l"),
        sizes);
  check(R"(graph "g" (x: f32[n,3,h,w], k: f32[8,3,3,3]) {
      dim n in 1..4
      dim h in 8..64
      dim w in 8..64
      c = conv(x, k)
      return y = relu(c)
    })",
        {{{"n", 1}, {"h", 8}, {"w", 64}}, {{"n", 4}, {"h", 64}, {"w", 8}}});
}

// One extent falls as the other grows: their product is never that of their maxima.
TEST(FreeExtents, AgainstOneAnother) {
  const char* text = R"(graph "g" (x: f32[n], w: f32[10,9], v: f32[9,6]) {
      dim n in 0..8
      y = slice(w) {starts: [0,0], limits: [10 - n, n + 1]}
      e = exp(y)
      t = transpose(e) {perm: [1,0]}
      s = softmax(y)
      u = slice(v) {starts: [0,0], limits: [n + 1, 6]}
      return e, t, s, p = matmul(y, u), r = reduce_sum(y) {axes: [0]}, x
    })";
  check(text, each("n", {0, 1, 5, 8}));
}

// Expanded, the extent is 4*b*s - 4*b, whose terms alone could be taken for a negative number.
TEST(FreeExtents, AllButTheLastToken) {
  check(R"(graph "g" (x: f32[b,s,4], w: f32[4,3]) {
      dim b in 1..8
      dim s in 2..16
      y = slice(x) {starts: [0,0,0], limits: [b, s - 1, 4]}
      rows = reshape(y) {shape: [-1, 4]}
      r = relu(rows)
      m = matmul(r, w)
      return m, sum = reduce_sum(r)
    })",
        {{{"b", 1}, {"s", 2}}, {{"b", 8}, {"s", 16}}, {{"b", 3}, {"s", 7}}});
}

// Expanded, the bytes are those of s*t - s - t + 1 elements: their bound is larger than that of the
// extents.
TEST(FreeExtents, OutputsOfTwoFreeExtents) {
  const std::vector<DimBinding> bindings = {
      {{"s", 3}, {"t", 3}}, {{"s", 16}, {"t", 16}}, {{"s", 5}, {"t", 9}}};
  check(R"(graph "g" (x: f32[s,t]) {
      dim s in 2..16
      dim t in 2..16
      return y = slice(x) {starts: [1,1], limits: [s,t]}
    })",
        bindings);
  check(R"(graph "g" (x: f32[1,3,s,t], w: f32[4,3,3,3]) {
      dim s in 3..16
      dim t in 3..16
      return y = conv(x, w)
    })",
        bindings);
}

// Nor are the chunks those of the largest batches.
TEST(FreeExtents, ProductsOfTwoFreeBatches) {
  check(R"(graph "g" (x: f32[s,t,4,5], w: f32[s,1,5,6]) {
      dim s in 2..9
      dim t in 2..9
      a = slice(x) {starts: [1,1,0,0], limits: [s,t,4,5]}
      b = slice(w) {starts: [1,0,0,0], limits: [s,1,5,6]}
      return y = matmul(a, b)
    })",
        {{{"s", 2}, {"t", 2}}, {{"s", 9}, {"t", 9}}, {{"s", 3}, {"t", 7}}});
}

// Where the first element lies, how far the next and how many there are vary together.
TEST(FreeExtents, FlipsAndWindows) {
  check(R"(graph "g" (x: f32[n]) {
      dim n in 1..10
      return y = slice(x) {starts: [n - 1], limits: [-1], steps: [-1]}
    })",
        each("n", {1, 10, 4}));
  check(R"(graph "g" (x: f32[3,n]) {
      dim n in 1..10
      return y = slice(x) {starts: [2,0], limits: [-1,n], steps: [-1,1]}
    })",
        each("n", {1, 10, 4}));
  check(R"(graph "g" (mask: f32[1,1,16,16], u: f32[p], v: f32[s]) {
      dim p in 0..12
      dim s in 1..8
      y = slice(mask) {starts: [0,0,p,0], limits: [1,1,p + s,p + s]}
      return y, a = neg(u), b = neg(v)
    })",
        {{{"p", 0}, {"s", 1}}, {{"p", 8}, {"s", 8}}, {{"p", 12}, {"s", 4}}, {{"p", 3}, {"s", 5}}});
}

// What is cut out of a free extent may not be there.
TEST(FreeExtents, SlicesBeyondTheEndAreRefused) {
  for (const char* op : {"y = slice(x) {starts: [2], limits: [5]}", "y, places = top_k(x) {k: 5}",
                         "y = slice(x) {starts: [4], limits: [1], steps: [-1]}"}) {
    const GraphRef graph = graph_of(
        absl::StrCat("graph \"g\" (x: f32[n]) {\n  dim n in 1..10\n  ", op, "\n  return y\n}"));
    ASSERT_NE(graph, nullptr) << op;
    const auto program = compile_for_cpu(graph);
    ASSERT_TRUE(program.ok()) << program.status();
    const auto session = runtime::Session::create(program->executable);
    for (const int64_t n : {10, 5, 4, 3}) {
      const auto got = (*session)->run_tensors(runtime::EntryId(0), inputs_of(*graph, {{"n", n}}));
      EXPECT_EQ(got.ok(), n >= 5) << op << " of " << n;
      if (!got.ok()) {
        EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << got.status();
      }
    }
  }
}

// The view is as large as what it is cut from at the largest extents alone: computed in its place,
// the rest would be written behind the caller's memory.
TEST(FreeExtents, NothingIsWrittenBehindAnOutputThatIsAView) {
  for (const bool joins : {false, true}) {
    const std::string last = joins ? "v = slice(y) {starts: [0], limits: [m]}\n"
                                     "  return z = concat(c, v) {axis: 0}"
                                   : "return z = slice(y) {starts: [0], limits: [m]}";
    const std::string text =
        absl::StrCat("graph \"g\" (x: f32[n], k: f32[m]", joins ? ", c: f32[2]" : "",
                     ") {\n  dim n in 0..8\n  dim m in 0..8\n  y = relu(x)\n  ", last, "\n}");
    check(text, {{{"n", 8}, {"m", 8}}, {{"n", 8}, {"m", 3}}, {{"n", 5}, {"m", 0}}});
    const auto program = compile_for_cpu(graph_of(text));
    ASSERT_TRUE(program.ok()) << program.status();
    const auto session = runtime::Session::create(program->executable);
    ASSERT_TRUE(session.ok()) << session.status();
    const runtime::EntryId entry(0);
    ASSERT_TRUE((*session)->bind_input(entry, 0, ones({8})).ok());
    ASSERT_TRUE((*session)->bind_input(entry, 1, ones({3})).ok());
    if (joins) ASSERT_TRUE((*session)->bind_input(entry, 2, ones({2})).ok());
    const size_t count = joins ? 5 : 3;
    std::vector<float> memory(16, 7);
    ASSERT_TRUE((*session)->bind_output(entry, 0, memory.data(), count * sizeof(float)).ok());
    const absl::Status status = (*session)->run(entry);
    ASSERT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < memory.size(); ++i) {
      EXPECT_EQ(memory[i], i < count ? 1 : 7) << i << (joins ? ", joined" : "");
    }
  }
}

// ---- Where kernels once took another way than the reference.

// One part lies in the whole, the other has no bytes.
TEST(EqualsReference, APastOfNothing) {
  check(R"(graph "g" (i0: f32[256,256], i1: f32[256,256], i2: f32[256,1], s0: f32[2,256],
                      e: f32[0,256]) {
      u = matmul(i0, i1)
      v = reduce_sum(u) {axes: [0], keepdims: true}
      t = matmul(i2, v)
      x = matmul(s0, t)
      c = concat(x, e) {axis: 0}
      return y = matmul(c, u)
    })",
        {{}}, {ones({256, 256}), ones({256, 256}), ones({256, 1}), ones({2, 256}), ones({0, 256})});
}

// What is cut from a part is read from where the part lies, which must be aligned for it as well.
TEST(EqualsReference, APartOfWhichAPartIsAnOutput) {
  check(R"(graph "g" (x: f32[3], c: f32[1]) {
      p = relu(x)
      v = slice(p) {starts: [0], limits: [2]}
      w = concat(c, p) {axis: 0}
      return v, w
    })",
        {{}});
  // Each trip's number could lie there, both together could not.
  check(R"(graph "g" (x: f32[2], c: f32[1]) {
      p = scan(x) {body: graph "b" (i: i64[], row: f32[]) {
          return y = relu(row)
        }, trips: [2], xs: 1}
      v = concat(p, c) {axis: 0}
      w = concat(c, v) {axis: 0}
      return w, p
    })",
        {{}});
}

TEST(EqualsReference, EachRowItsOwnExponent) {
  check(R"(graph "g" (x: f32[3,4], e: f32[3,1]) { return y = pow(x, e) })", {{}},
        {*Tensor::of<float>({3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}),
         *Tensor::of<float>({3, 1}, {2, 3, 0.5})});
}

TEST(EqualsReference, TheRestOfADivisionByNothing) {
  check(R"(graph "g" (a: i32[4], b: i32[4]) { return y = mod(a, b), z = floor_div(a, b) })", {{}},
        {*Tensor::of<int32_t>({4}, {7, -7, 7, -7}), *Tensor::of<int32_t>({4}, {0, 0, -2, 2})});
}

TEST(EqualsReference, CountingInNarrowIntegersWraps) {
  check(R"(graph "g" (x: i32[200]) {
      a = iota() {shape: [200], axis: 0, dtype: i8}
      w = cast(a) {dtype: i32}
      return y = add(w, x)
    })",
        {{}});
}

}  // namespace
}  // namespace modellib
