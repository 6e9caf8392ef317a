// What must hold of a random graph.
#ifndef MODELLIB_TESTS_RANDOM_GRAPHS_CHECKS_H_
#define MODELLIB_TESTS_RANDOM_GRAPHS_CHECKS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/program.h"
#include "modellib/tests/random_graphs/shrink.h"

namespace modellib {

// The case as a program: the graph as "main", and "initialize" gives its variables their values.
absl::StatusOr<Program> program_of(const GraphCase& c);

// The reference executor computes the same before these passes and after each of them, for the CPU.
// `tolerance` is that of passes that round on purpose.
std::string fault_of_passes(const GraphCase& c, const std::vector<std::string>& passes,
                            double tolerance = 0);

// How often each of these passes, one after another, made another graph.
std::map<std::string, int64_t> changes_by_pass(const GraphCase& c,
                                               const std::vector<std::string>& passes);

// The CPU executor computes what the reference does, with the same bits for 1, 2 and 4 workers and
// steps that are cut finely, and verify_plan holds. With `bounded` a free dimension stays free in
// the plan.
std::string fault_on_cpu(const GraphCase& c, bool bounded);

// Steps of a plan, and the bytes that they read and write.
struct Work {
  int64_t steps = 0;
  int64_t bytes = 0;
};
Work work_of(const fb::PlanT& plan);

// The same graph with its nodes in another order, and other names of values.
GraphRef shuffled(const Graph& graph, uint64_t seed);

// Two plans are isomorphic if they are equal but for names that are there for people (those of
// steps, constants and contributors) and for the records of passes. All else is compared: kernels,
// operands, offsets, scalars, the order of steps, waits, arenas, tables, and constants by content.
// This is that part of a plan as bytes.
std::string form_of(fb::PlanT plan_without_names);

}  // namespace modellib

#endif  // MODELLIB_TESTS_RANDOM_GRAPHS_CHECKS_H_
