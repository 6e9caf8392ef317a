// Random graphs, typed, made from a seed: what passes and executors must agree on without anybody
// having thought of it.
//
// A graph has a few inputs and variables, some five to thirty ops of most families, loops and
// branches, several outputs and, at times, assignments, a free batch dimension, products of 16
// bits, and composites that are spelled out in primitives. Values stay small, and ops that are not
// continuous see only values that no rounding has touched (inputs, what was moved or compared), so
// that two right executions are near each other.
#ifndef MODELLIB_TESTS_RANDOM_GRAPHS_GENERATOR_H_
#define MODELLIB_TESTS_RANDOM_GRAPHS_GENERATOR_H_

#include <cstdint>
#include <vector>

#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/tensor.h"

namespace modellib {

// A graph with contents for its inputs and variables.
struct GraphCase {
  GraphRef graph;
  std::vector<Tensor> inputs;
  NamedTensors variables;
  // Relative to the larger of 1 and the magnitude, between two right executions. Values stay below
  // about ten and every op has a slope of about as much at most; floats of 16 bits need more.
  // Integers and bools are compared by bits.
  double tolerance = 2e-4;
};

// The same for each seed, in every process. The free dimension "batch", if there is one, is 3.
GraphCase random_graph(uint64_t seed);

// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
class SeededNumbers {
 public:
  explicit SeededNumbers(uint64_t seed) : state_(seed * 0xd1342543de82ef95 + 1) {}
  uint64_t bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [0, n).
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  // In [low, high].
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool chance(double p) { return uniform() < p; }
  double uniform() { return static_cast<double>(bits() >> 40) * 0x1p-24; }

 private:
  uint64_t state_;
};

}  // namespace modellib

#endif  // MODELLIB_TESTS_RANDOM_GRAPHS_GENERATOR_H_
