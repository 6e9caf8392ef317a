// The machine's limits as simple loops show them, for setting measured steps against.
#ifndef MODELLIB_EXECUTORS_CPU_MACHINE_LIMITS_H_
#define MODELLIB_EXECUTORS_CPU_MACHINE_LIMITS_H_

namespace modellib::cpu {

struct MachineLimits {
  int threads = 1;
  double flops_per_second = 0;  // f32 FMAs on registers, two operations each, of all threads
  double bytes_per_second = 0;  // triad a = b + s c over arrays larger than caches: 12 bytes each
};

// Runs both loops on so many threads at once (0: one for each core that the process may use), some
// 0.3 s in all, and takes the best of several tries.
MachineLimits measure_machine_limits(int threads);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_MACHINE_LIMITS_H_
