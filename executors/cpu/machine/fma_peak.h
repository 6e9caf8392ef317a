// The machine's peak of float FMAs, as a loop that touches registers alone shows it.
#ifndef MODELLIB_EXECUTORS_CPU_MACHINE_FMA_PEAK_H_
#define MODELLIB_EXECUTORS_CPU_MACHINE_FMA_PEAK_H_

#include <cstdint>

namespace modellib::cpu {

// Runs `steps` times 24 independent FMAs (12 where registers are few) on vectors of the widest
// instruction set and returns the floating-point operations done.
double run_fma_loop(int64_t steps);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_MACHINE_FMA_PEAK_H_
