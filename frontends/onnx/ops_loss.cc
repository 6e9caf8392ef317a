// Losses of classes.
#include <limits>

#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/softmax.h"

namespace modellib::onnx {
namespace {

absl::StatusOr<Value> negative_log(NodeView& n, Value log_probs) {
  const std::string reduction = n.text("reduction", "mean");
  if (reduction != "none" && reduction != "mean" && reduction != "sum") {
    return absl::InvalidArgumentError(absl::StrCat("reduction '", reduction, "'"));
  }
  // Without the attribute no target is ignored.
  const int64_t ignored = n.integer("ignore_index", std::numeric_limits<int64_t>::min());
  const Value loss = nll_loss(log_probs, cast(n.in(1), DType::kI64), n.in(2),
                              {.ignore_index = ignored, .reduction = reduction});
  return cast(loss, log_probs.dtype());
}

absl::StatusOr<Values> of_log_probabilities(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(const Value loss, negative_log(n, n.in(0)));
  return Values{loss};
}

absl::StatusOr<Values> of_scores(NodeView& n) {
  const Value log_probs = log_softmax(n.in(0), {.axis = 1});
  MODELLIB_ASSIGN_OR_RETURN(const Value loss, negative_log(n, log_probs));
  return Values{loss, log_probs};
}

constexpr OpEntry kEntries[] = {
    {"NegativeLogLikelihoodLoss", 12, kNow, 2, 3, Takes::kReal, of_log_probabilities},
    {"SoftmaxCrossEntropyLoss", 12, kNow, 2, 3, Takes::kReal, of_scores},
};

}  // namespace

absl::Span<const OpEntry> loss_entries() { return kEntries; }

}  // namespace modellib::onnx
