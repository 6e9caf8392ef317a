#include "modellib/tests/op_table/gradient_check.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

absl::StatusOr<Tensor> moved(const Tensor& x, int64_t i, double by) {
  MODELLIB_ASSIGN_OR_RETURN(
      Tensor y, Tensor::copy_of(x.dtype(), x.shape(), x.data(), static_cast<size_t>(x.bytes())));
  y.set(i, x.at(i) + by);
  return y;
}

}  // namespace

absl::StatusOr<std::string> gradient_mismatch(const GraphRef& graph, std::vector<Tensor> inputs,
                                              const std::vector<int>& wrt, int points,
                                              double tolerance) {
  ReferenceExecutor executor(graph);
  const auto loss = [&]() -> absl::StatusOr<double> {
    MODELLIB_ASSIGN_OR_RETURN(const ReferenceResult r, executor.run(inputs));
    return r.outputs[0].at(0);
  };
  MODELLIB_ASSIGN_OR_RETURN(const ReferenceResult analytic, executor.run(inputs));
  for (size_t k = 0; k < wrt.size(); ++k) {
    const auto at = static_cast<size_t>(wrt[k]);
    const Tensor x = inputs[at];
    const Tensor& g = analytic.outputs[k + 1];
    const int64_t step = std::max<int64_t>(1, x.elements() / points);
    for (int64_t i = 0; i < x.elements(); i += step) {
      const double h = 1e-5 * std::max(1.0, std::fabs(x.at(i)));
      MODELLIB_ASSIGN_OR_RETURN(inputs[at], moved(x, i, h));
      MODELLIB_ASSIGN_OR_RETURN(const double above, loss());
      MODELLIB_ASSIGN_OR_RETURN(inputs[at], moved(x, i, -h));
      MODELLIB_ASSIGN_OR_RETURN(const double below, loss());
      inputs[at] = x;
      const double numeric = (above - below) / (2 * h);
      const double error = std::fabs(numeric - g.at(i)) / std::max(1.0, std::fabs(numeric));
      if (!(error <= tolerance)) {
        return absl::StrCat("input ", wrt[k], ", element ", i, ": gradient ", g.at(i),
                            ", central difference ", numeric);
      }
    }
  }
  return std::string();
}

}  // namespace modellib
