// Clock and quantiles for the commands that measure.
#ifndef MODELLIB_FRONTENDS_CLI_TIMING_H_
#define MODELLIB_FRONTENDS_CLI_TIMING_H_

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <vector>

namespace modellib::cli {

using Clock = std::chrono::steady_clock;

inline double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// The smallest value that `fraction` of the sorted values, of which there are some, do not exceed.
inline double quantile(const std::vector<double>& sorted, double fraction) {
  const auto rank = static_cast<size_t>(std::ceil(fraction * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_TIMING_H_
