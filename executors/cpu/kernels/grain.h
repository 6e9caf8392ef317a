// How finely a step is to be cut into chunks, for kernels that compare several ways. Chunks depend
// on no number of workers, so a way has to be good for few and for many.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_GRAIN_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_GRAIN_H_

#include <algorithm>
#include <cstdint>
#include <limits>

namespace modellib::cpu {

// The time that a step takes whose `chunks` take `cycles` each, summed over some numbers of
// workers; to be compared with that of another cut of the same step. The cycles are of a core at
// work; handing out a chunk adds to them. Workers start and end unevenly, by a part of a chunk.
inline double cost_of_chunks(int64_t chunks, double cycles) {
  constexpr double kHandOut = 1500, kUneven = 0.25;
  double cost = 0;
  for (const int64_t workers : {1, 2, 4, 16}) {
    const int64_t turns = (chunks + workers - 1) / workers;
    cost += (static_cast<double>(turns) + (workers > 1 ? kUneven : 0)) * (cycles + kHandOut);
  }
  return cost;
}

// Of `units` of work that take `cycles` each, how many a chunk should have. There are at least
// `least_chunks`, for steps whose chunks must not be long.
inline int64_t cheapest_grain(int64_t units, double cycles, int64_t least_chunks = 1) {
  constexpr int64_t kTried = 64;
  units = std::max<int64_t>(1, units);
  least_chunks = std::clamp<int64_t>(least_chunks, 1, units);
  int64_t chosen = units;
  double best = std::numeric_limits<double>::infinity();
  for (int64_t pieces = least_chunks; pieces <= std::min(units, least_chunks + kTried); ++pieces) {
    const int64_t grain = (units + pieces - 1) / pieces;
    const double cost =
        cost_of_chunks((units + grain - 1) / grain, static_cast<double>(grain) * cycles);
    if (cost >= best) continue;
    best = cost;
    chosen = grain;
  }
  return chosen;
}

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_GRAIN_H_
