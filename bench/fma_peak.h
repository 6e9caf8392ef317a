// The machine's peak of float FMAs, as a loop that touches registers alone shows it.
#ifndef MODELLIB_BENCH_FMA_PEAK_H_
#define MODELLIB_BENCH_FMA_PEAK_H_

#include <cstdint>

namespace modellib::bench {

// Runs `steps` times 24 independent FMAs (12 where registers are few) on vectors of the widest
// instruction set and returns the floating-point operations done.
double run_fma_loop(int64_t steps);

}  // namespace modellib::bench

#endif  // MODELLIB_BENCH_FMA_PEAK_H_
