#include "modellib/frontends/cli/compare_tensors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/dtype.h"

namespace modellib::cli {
namespace {

absl::int128 integer_at(const Tensor& tensor, int64_t i) {
  const int64_t bits = tensor.int_at(i);
  return tensor.dtype() == DType::kU64 ? absl::int128(static_cast<uint64_t>(bits))
                                       : absl::int128(bits);
}

// |a - b| of two numbers; NaN or infinite where one is. 0 only of equal ones.
double distance_at(const Tensor& a, const Tensor& b, int64_t i) {
  if (is_integer(a.dtype()) && is_integer(b.dtype())) {
    const absl::int128 x = integer_at(a, i), y = integer_at(b, i);
    return static_cast<double>(x < y ? y - x : x - y);
  }
  const double x = a.at(i), y = b.at(i);
  const bool equal = x == y || (std::isnan(x) && std::isnan(y));
  return equal ? 0 : std::abs(x - y);
}

}  // namespace

TensorDifference compare_tensors(const Tensor& a, const Tensor& b, const Tolerance& tolerance) {
  TensorDifference out;
  out.elements = a.elements();
  out.shapes_differ = a.shape() != b.shape();
  if (out.shapes_differ) return out;
  double worst_excess = 0;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double distance = distance_at(a, b, i);
    if (distance == 0) continue;
    const double x = a.at(i), y = b.at(i);
    const double bound =
        tolerance.absolute + tolerance.relative * std::max(std::abs(x), std::abs(y));
    if (std::isfinite(distance)) {
      out.largest = std::max(out.largest, distance);
      if (distance <= bound) continue;
    }
    ++out.differing;
    const double excess =
        std::isfinite(distance) ? distance - bound : std::numeric_limits<double>::infinity();
    if (excess > worst_excess) {
      worst_excess = excess;
      out.worst = i;
      out.a = x;
      out.b = y;
    }
  }
  return out;
}

int64_t first_nan(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return -1;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    if (std::isnan(tensor.at(i))) return i;
  }
  return -1;
}

std::string element_text(const Tensor& tensor, int64_t element) {
  if (!is_integer(tensor.dtype())) return absl::StrCat(tensor.at(element));
  const int64_t bits = tensor.int_at(element);
  return tensor.dtype() == DType::kU64 ? absl::StrCat(static_cast<uint64_t>(bits))
                                       : absl::StrCat(bits);
}

std::string position(const Tensor& tensor, int64_t element) {
  std::vector<int64_t> index(tensor.shape().size());
  for (size_t d = index.size(); d-- > 0;) {
    index[d] = element % tensor.shape()[d];
    element /= tensor.shape()[d];
  }
  return absl::StrCat("[", absl::StrJoin(index, ","), "]");
}

}  // namespace modellib::cli
