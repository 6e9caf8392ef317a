#include "modellib/passes/control_flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "modellib/graph/text.h"
#include "modellib/passes/pass_test_util.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(SinkConstants, IntoABranch) {
  testing::expect_pass("sink-constants", R"(graph "g" (p: bool[], x: f32[2]) {
    c = constant() {value: f32[2] [1, 2]}
    y = cond(p, x, c, x) {
      then_branch: graph "then" (a: f32[2], b: f32[2]) { return mul(a, b) },
      else_branch: graph "else" (a: f32[2]) { return neg(a) },
      then_operands: 2}
    return y
  })",
                       R"(graph "g" (p: bool[], x: f32[2]) {
    c = constant() {value: f32[2] [1, 2]}
    y = cond(p, x, x) {
      then_branch: graph "then" (captured0: f32[2]) {
        b = constant() {value: f32[2] [1, 2]}
        return out0 = mul(captured0, b)
      },
      else_branch: graph "else" (captured0: f32[2]) { return out0 = neg(captured0) },
      then_operands: 1}
    return y
  })");
}

TEST(SinkConstants, IntoALoop) {
  testing::expect_pass("sink-constants", R"(graph "g" (h: f32[2], xs: f32[3,2]) {
    w = constant() {value: f32[2] [1, 2]}
    last, all = scan(h, xs, w) {
      body: graph "body" (i: i64[], c: f32[2], x: f32[2], v: f32[2]) {
        m = mul(c, v)
        n = add(m, x)
        return n, m
      }, trips: [3], carries: 1, xs: 1}
    return last, all
  })",
                       R"(graph "g" (h: f32[2], xs: f32[3,2]) {
    w = constant() {value: f32[2] [1, 2]}
    last, all = scan(h, xs) {
      body: graph "scan" (in0: i64[], in1: f32[2], in2: f32[2]) {
        v = constant() {value: f32[2] [1, 2]}
        m = mul(in1, v)
        n = add(m, in2)
        return out0 = n, out1 = m
      }, trips: [3], carries: 1, xs: 1}
    return last, all
  })");
}

TEST(SinkConstants, CapturesWithoutUseOrTwiceGo) {
  testing::expect_pass("sink-constants", R"(graph "g" (p: bool[], x: f32[2], y: f32[2]) {
    z = cond(p, x, x, x, y) {
      then_branch: graph "then" (a: f32[2], b: f32[2]) { return add(a, b) },
      else_branch: graph "else" (a: f32[2], b: f32[2]) { return neg(a) },
      then_operands: 2}
    return z
  })",
                       R"(graph "g" (p: bool[], x: f32[2], y: f32[2]) {
    z = cond(p, x, x) {
      then_branch: graph "then" (captured0: f32[2]) { return out0 = add(captured0, captured0) },
      else_branch: graph "else" (captured0: f32[2]) { return out0 = neg(captured0) },
      then_operands: 1}
    return z
  })");
}

TEST(SinkConstants, LeavesWhatVaries) {
  testing::expect_unchanged("sink-constants", R"(graph "g" (h: f32[2], xs: f32[3,2], w: f32[2]) {
    first = constant() {value: f32[2] [1, 2]}
    last, all = scan(first, xs, w) {
      body: graph "body" (i: i64[], c: f32[2], x: f32[2], v: f32[2]) {
        m = mul(c, v)
        n = add(m, x)
        return n, m
      }, trips: [3], carries: 1, xs: 1}
    y = add(last, h)
    return y, all
  })");
}

// A running sum whose slices are `slice` and which makes `trips` trips.
std::string running_sum(const std::string& slice, const std::string& trips, bool reverse,
                        bool reads_index) {
  return "graph \"g\" (h: f32[" + slice + "], xs: f32[" + trips + "," + slice + "]) {\n" +
         "  last, all = scan(h, xs) {\n    body: graph \"body\" (i: i64[], c: f32[" + slice +
         "], x: f32[" + slice + "]) {\n      s = add(c, x)\n" +
         (reads_index ? "      k = cast(i) {dtype: f32}\n      y = mul(s, k)\n      return s, y\n"
                      : "      return t = s, u = s\n") +
         "    }, trips: [" + trips + "], carries: 1, xs: 1" + (reverse ? ", reverse: true" : "") +
         "}\n  return last, all\n}";
}

// The form, and that it computes the same.
std::string strided(const std::string& text) {
  const GraphRef before = testing::graph_of(text);
  if (before == nullptr) return "";
  const GraphRef after = testing::after({"stride-scans"}, before);
  if (after == nullptr) return "";
  testing::expect_same_meaning(before, after, 0);
  return print(*after);
}

TEST(StrideScans, LeavesWhatMovesByFixedStrides) {
  testing::expect_unchanged("stride-scans", running_sum("2", "3", false, false));
  testing::expect_unchanged("stride-scans", running_sum("2", "3", false, true));
  testing::expect_unchanged("stride-scans", running_sum("2", "3", true, false));
  testing::expect_unchanged("stride-scans", running_sum("2", "n", false, true));
}

TEST(StrideScans, AReverseScanThatReadsItsIndexCountsDown) {
  const std::string text = strided(running_sum("2", "3", true, true));
  EXPECT_THAT(text, HasSubstr("carries: 2"));  // the sum, and the index
  EXPECT_THAT(text, HasSubstr("xs: 1"));
  EXPECT_THAT(text, HasSubstr("reverse: true"));
}

TEST(StrideScans, SlicesOfFreeExtentsAreFoundByIndex) {
  const std::string text = strided(running_sum("n", "3", false, false));
  EXPECT_THAT(text, HasSubstr("gather("));
  EXPECT_THAT(text, HasSubstr("update_slice("));
  EXPECT_THAT(text, HasSubstr("carries: 2"));  // the sum, and the sums so far
  EXPECT_THAT(text, Not(HasSubstr("xs: 1")));
}

TEST(StrideScans, BackwardsOverAFreeNumberOfTripsGoesByIndex) {
  const std::string text = strided(running_sum("2", "n", true, true));
  EXPECT_THAT(text, HasSubstr("gather("));
  EXPECT_THAT(text, HasSubstr("update_slice("));
  EXPECT_THAT(text, HasSubstr("carries: 3"));  // the sum, the results so far, and the index
  EXPECT_THAT(text, Not(HasSubstr("reverse: true")));
}

TEST(StrideScans, NoTripsNoScan) {
  testing::expect_pass("stride-scans", R"(graph "g" (h: f32[2], xs: f32[0,2]) {
    last = scan(h, xs) {
      body: graph "body" (i: i64[], c: f32[2], x: f32[2]) { return add(c, x) },
      trips: [0], carries: 1, xs: 1}
    return last
  })",
                       R"(graph "g" (h: f32[2], xs: f32[0,2]) {
    return last = h
  })");
  EXPECT_THAT(strided(running_sum("n", "0", false, false)), Not(HasSubstr("scan(")));
}

}  // namespace
}  // namespace modellib
