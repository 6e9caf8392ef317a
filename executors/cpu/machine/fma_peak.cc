#include "modellib/executors/cpu/machine/fma_peak.h"

#include <cstdint>

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/machine/fma_peak.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

double fma_loop(int64_t steps) {
  const hn::CappedTag<float, 16> d;
  using V = hn::Vec<decltype(d)>;
#if HWY_TARGET <= HWY_AVX3
  constexpr int kChains = 24;
#else
  constexpr int kChains = 12;
#endif
  V sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
  // Opaque to the optimiser, and stable: x -> x/2 + 1/4.
  volatile float half = 0.5f, quarter = 0.25f;
  const V a = hn::Set(d, half), b = hn::Set(d, quarter);
  for (int64_t step = 0; step < steps; ++step) {
    for (int i = 0; i < kChains; ++i) sums[i] = hn::MulAdd(sums[i], a, b);
  }
  V sum = sums[0];
  for (int i = 1; i < kChains; ++i) sum = hn::Add(sum, sums[i]);
  [[maybe_unused]] volatile float sink = hn::GetLane(sum);
  return 2.0 * static_cast<double>(steps) * kChains * static_cast<double>(hn::Lanes(d));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace modellib::cpu {
HWY_EXPORT(fma_loop);
double run_fma_loop(int64_t steps) { return HWY_DYNAMIC_DISPATCH(fma_loop)(steps); }
}  // namespace modellib::cpu
#endif
