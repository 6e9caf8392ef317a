#include "modellib/passes/attention_layout.h"

#include <gtest/gtest.h>

#include "modellib/passes/canonicalize.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using testing::printed;
using testing::run_passes;
using testing::TestBackend;

std::string after(absl::string_view text, const Backend& backend = TestBackend()) {
  return printed(run_passes({choose_attention_layout, canonicalize}, text, &backend));
}

TEST(AttentionLayout, ReadsProjectionsAndWritesWhatTheNextOneReads) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,7,3,8], y: f32[2,9,3,8]) {
    q = transpose(x) {perm: [0, 2, 1, 3]}
    k = transpose(y) {perm: [0, 2, 1, 3]}
    o, lse = attention(q, k, k) {is_causal: true}
    p = transpose(o) {perm: [0, 2, 1, 3]}
    r = reshape(p) {shape: [2, 7, 24]}
    return r
  })"),
            printed(R"(graph "g" (x: f32[2,7,3,8], y: f32[2,9,3,8]) {
    p, lse = attention(x, y, y) {is_causal: true, query_layout: "BSHD", key_layout: "BSHD"}
    r = reshape(p) {shape: [2, 7, 24]}
    return r
  })"));
}

TEST(AttentionLayout, SeesThroughKeysThatAreTurnedTwice) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,7,3,8], y: f32[2,9,3,8]) {
    q = transpose(x) {perm: [0, 2, 1, 3]}
    columns = transpose(y) {perm: [0, 2, 3, 1]}
    k = transpose(columns) {perm: [0, 1, 3, 2]}
    v = transpose(y) {perm: [0, 2, 1, 3]}
    o, lse = attention(q, k, v)
    return lse
  })"),
            printed(R"(graph "g" (x: f32[2,7,3,8], y: f32[2,9,3,8]) {
    %0, lse = attention(x, y, y) {query_layout: "BSHD", key_layout: "BSHD"}
    return lse
  })"));
}

// Axes may be counted from the end; without any, all are reversed.
TEST(AttentionLayout, ReadsEveryWayToWriteATranspose) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,7,3,8], y: f32[8,9,3,2]) {
    q = transpose(x) {perm: [0, -2, 1, -1]}
    k = transpose(y)
    o, lse = attention(q, k, k)
    return lse
  })"),
            printed(R"(graph "g" (x: f32[2,7,3,8], y: f32[8,9,3,2]) {
    k = transpose(y)
    %0, lse = attention(x, k, k) {query_layout: "BSHD"}
    return lse
  })"));
}

TEST(AttentionLayout, LeavesKeysOfACacheAsTheyAre) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,1,3,8], k: f32[2,3,9,8], v: f32[2,9,3,8]) {
    q = transpose(x) {perm: [0, 2, 1, 3]}
    u = transpose(v) {perm: [0, 2, 1, 3]}
    o, lse = attention(q, k, u)
    return lse, u
  })"),
            printed(R"(graph "g" (x: f32[2,1,3,8], k: f32[2,3,9,8], v: f32[2,9,3,8]) {
    u = transpose(v) {perm: [0, 2, 1, 3]}
    %0, lse = attention(x, k, u) {query_layout: "BSHD"}
    return lse, u
  })"));
}

TEST(AttentionLayout, SwapsAllThatFlowsBack) {
  EXPECT_EQ(after(R"(graph "g" (x: f32[2,7,3,8], g: f32[2,7,3,8], lse: f32[2,3,7]) {
    q = transpose(x) {perm: [0, 2, 1, 3]}
    d = transpose(g) {perm: [0, 2, 1, 3]}
    o = relu(q)
    dq, dk, dv = attention_grad(d, q, q, q, o, lse)
    a = transpose(dq) {perm: [0, 2, 1, 3]}
    b = transpose(dk) {perm: [0, 2, 1, 3]}
    return a, b, dv
  })"),
            printed(R"(graph "g" (x: f32[2,7,3,8], g: f32[2,7,3,8], lse: f32[2,3,7]) {
    q = transpose(x) {perm: [0, 2, 1, 3]}
    o = relu(q)
    %0 = transpose(o) {perm: [0, 2, 1, 3]}
    a, b, %1 = attention_grad(g, x, x, x, %0, lse) {query_layout: "BSHD", key_layout: "BSHD"}
    dv = transpose(%1) {perm: [0, 2, 1, 3]}
    return a, b, dv
  })"));
}

TEST(AttentionLayout, DoesNothingForWhatIsDecomposed) {
  class Decomposes final : public TestBackend {
   public:
    bool takes_composite(const Graph&, const Graph::Node&) const override { return false; }
  };
  constexpr char kText[] = R"(graph "g" (x: f32[2,7,3,8]) {
    q = transpose(x) {perm: [0, 2, 1, 3]}
    o, lse = attention(q, q, q)
    return o
  })";
  EXPECT_EQ(after(kText, Decomposes()), printed(kText));
}

}  // namespace
}  // namespace modellib
