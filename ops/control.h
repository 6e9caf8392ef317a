// Control flow: cond, scan and while, whose branches and bodies are regions.
//
//   auto both = cond(b, p, [&](GraphBuilder&) { return std::vector{x * 2.0}; },
//                          [&](GraphBuilder&) { return std::vector{neg(x)}; });
//
// A body may use any value of the graph around it: the region captures it. The symbols of the graph
// around hold in it too. Variables are read through captures; a body does not assign them, it
// returns the new value.
#ifndef MODELLIB_OPS_CONTROL_H_
#define MODELLIB_OPS_CONTROL_H_

#include <cstdint>
#include <functional>
#include <tuple>
#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"

namespace modellib {

// cond(predicate, then operands…, else operands…) -> the outputs of the branch that is taken; the
// other is not run.
struct CondAttributes {
  GraphRef then_branch;  // inputs: the then operands
  GraphRef else_branch;  // inputs: the else operands; outputs of the same types
  int64_t then_operands = 0;
  static constexpr auto fields() {
    return std::make_tuple(field("then_branch", &CondAttributes::then_branch),
                           field("else_branch", &CondAttributes::else_branch),
                           field("then_operands", &CondAttributes::then_operands));
  }
};
using BranchBody = std::function<std::vector<Value>(GraphBuilder& builder)>;
// predicate: a bool scalar. Both branches return as many values, of the same types. After a mistake
// there are as many poisoned values as the branches return, as with scan and while_loop.
std::vector<Value> cond(GraphBuilder& builder, Value predicate, const BranchBody& then_body,
                        const BranchBody& else_body);

// scan(carries…, xs…, captured…) -> (carries after the last trip…, ys…). In trip i the body takes
// (i: i64, carries…, x[i] of each xs…, captured…) and gives (carries…, a slice y[i] of each ys…).
struct ScanAttributes {
  GraphRef body;
  Shape trips;  // one extent
  int64_t carries = 0;
  int64_t xs = 0;
  bool reverse = false;  // from i = trips - 1 down to 0
  static constexpr auto fields() {
    return std::make_tuple(
        field("body", &ScanAttributes::body), field("trips", &ScanAttributes::trips),
        field("carries", &ScanAttributes::carries), field("xs", &ScanAttributes::xs),
        field("reverse", &ScanAttributes::reverse));
  }
};
struct ScanValues {
  std::vector<Value> carries;
  std::vector<Value> ys;  // from the body: slices; from scan(): stacked, [trips, …]
};
using ScanBody =
    std::function<ScanValues(GraphBuilder& builder, Value index, absl::Span<const Value> carries,
                             absl::Span<const Value> xs)>;
struct ScanOptions {
  bool reverse = false;
};
// xs: [trips, …] each. A carry keeps its type. The gradient stacks the carries and computes each
// trip's inside again, in a scan the other way.
ScanValues scan(GraphBuilder& builder, Dim trips, absl::Span<const Value> carries,
                absl::Span<const Value> xs, const ScanBody& body, ScanOptions options = {});

// while(carries…, captured by the condition…, captured by the body…) -> carries. Runs the body
// while the condition, a bool scalar, holds.
struct WhileAttributes {
  GraphRef condition;  // (carries…, captured by it…) -> bool
  GraphRef body;       // (carries…, captured by it…) -> carries…
  int64_t carries = 0;
  int64_t condition_captures = 0;
  Shape max_trips;  // empty: no bound; else one extent, after which it stops
  static constexpr auto fields() {
    return std::make_tuple(field("condition", &WhileAttributes::condition),
                           field("body", &WhileAttributes::body),
                           field("carries", &WhileAttributes::carries),
                           field("condition_captures", &WhileAttributes::condition_captures),
                           field("max_trips", &WhileAttributes::max_trips));
  }
};
using ConditionBody = std::function<Value(GraphBuilder& builder, absl::Span<const Value> carries)>;
using LoopBody =
    std::function<std::vector<Value>(GraphBuilder& builder, absl::Span<const Value> carries)>;
// Differentiable with a bound only: the gradient is that of a scan of max_trips conditional trips.
std::vector<Value> while_loop(GraphBuilder& builder, absl::Span<const Value> carries,
                              const ConditionBody& condition, const LoopBody& body);
std::vector<Value> while_loop(GraphBuilder& builder, absl::Span<const Value> carries, Dim max_trips,
                              const ConditionBody& condition, const LoopBody& body);

}  // namespace modellib

#endif  // MODELLIB_OPS_CONTROL_H_
