// Statistics and norms over axes. Negative axes count from the back; no axes given means all of
// them.
#ifndef MODELLIB_OPS_STATISTICS_H_
#define MODELLIB_OPS_STATISTICS_H_

#include <cstdint>
#include <tuple>
#include <vector>

#include "modellib/graph/builder.h"

namespace modellib {

struct LogsumexpAttributes {
  std::vector<int64_t> axes;
  bool keepdims = false;
  static constexpr auto fields() {
    return std::make_tuple(field("axes", &LogsumexpAttributes::axes),
                           field("keepdims", &LogsumexpAttributes::keepdims));
  }
};
// log Σ exp(x), without overflow; of -inf alone: -inf.
Value logsumexp(Value x, LogsumexpAttributes attributes = {});

struct VarianceOptions {
  std::vector<int64_t> axes;
  bool keepdims = false;
  double correction = 1;  // the sum of squares is divided by n - correction
};
// Mean squared distance from the mean, in two passes. As torch.var.
Value variance(Value x, const VarianceOptions& options = {});
// Its root; gradient 0 where it is 0.
Value standard_deviation(Value x, const VarianceOptions& options = {});

struct NormOptions {
  double p = 2;  // 0: how many elements are not zero; infinity: the largest magnitude
  std::vector<int64_t> axes;
  bool keepdims = false;
};
// (Σ |x|^p)^(1/p), p >= 0; gradient 0 where it is 0. As torch.linalg.vector_norm.
Value norm(Value x, const NormOptions& options = {});
// x / max(norm(x), eps) along an axis. As torch.nn.functional.normalize.
Value l2_normalize(Value x, int64_t axis = -1, double eps = 1e-12);

}  // namespace modellib

#endif  // MODELLIB_OPS_STATISTICS_H_
