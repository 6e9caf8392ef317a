// How finely a step is to be cut into chunks, for kernels that compare several ways. Chunks depend
// on no number of workers, so a way has to be good for few and for many.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_GRAIN_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_GRAIN_H_

#include <cstdint>

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

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_GRAIN_H_
