// What must hold of a random graph.
#ifndef MODELLIB_TESTS_RANDOM_GRAPHS_CHECKS_H_
#define MODELLIB_TESTS_RANDOM_GRAPHS_CHECKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "modellib/formats/plan_generated.h"
#include "modellib/tests/random_graphs/shrink.h"

namespace modellib {

// Relative to the larger of 1 and the magnitude. Values of random graphs stay below about ten and
// every op has a slope of about as much at most; integers and bools are compared by bits.
inline constexpr double kTolerance = 2e-4;

// The reference executor computes the same before and after these passes, for the CPU.
std::string fault_of_passes(const GraphCase& c, const std::vector<std::string>& passes);

// The CPU executor computes what the reference does, with the same bits for 1 and 2 workers, and
// verify_plan holds. With `bounded` a free dimension stays free in the plan.
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
