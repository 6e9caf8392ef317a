// Losses. All return a scalar unless `reduction` is "none"; half-precision operands are computed in
// f32 and the loss is f32.
//
// Formulas, defaults and subgradients are those of PyTorch's functions of the same name, except
// where a comment names another source. Input and target of mse_loss, l1_loss, smooth_l1_loss,
// huber_loss and kl_div broadcast against each other, as there; so do operands of one rank of
// margin_ranking_loss and triplet_margin_loss. No other operands do but weights.
#ifndef MODELLIB_OPS_LOSSES_H_
#define MODELLIB_OPS_LOSSES_H_

#include <cstdint>
#include <string>
#include <tuple>

#include "absl/strings/string_view.h"
#include "modellib/graph/builder.h"

namespace modellib {

struct CrossEntropyAttributes {
  int64_t ignore_index = -100;     // a target of this value counts for nothing
  std::string reduction = "mean";  // "none", "mean" or "sum"
  double label_smoothing = 0.0;    // share of the target that is spread over all classes, in [0, 1]
  static constexpr auto fields() {
    return std::make_tuple(field("ignore_index", &CrossEntropyAttributes::ignore_index),
                           field("reduction", &CrossEntropyAttributes::reduction),
                           field("label_smoothing", &CrossEntropyAttributes::label_smoothing));
  }
};
// -log softmax(logits)[target]. logits [n, classes], or [n, classes, …] with targets [n, …], or
// [classes] with a scalar target. Targets are i64 classes; one out of range is an error when it
// runs. Float targets of the logits' shape are probabilities, of which none is ignored: an
// ignore_index of 0 or more is a mistake then. `weight` [classes], a factor for each class, may be
// null; "mean" divides by the weights of the targets (their number without weights; for
// probabilities, by n …), and is NaN where all are ignored.
Value cross_entropy(Value logits, Value target, Value weight = {},
                    CrossEntropyAttributes attributes = {});

struct NllOptions {
  int64_t ignore_index = -100;
  std::string reduction = "mean";
};
// -log_probs[target], with shapes, weights and mean of cross_entropy.
Value nll_loss(Value log_probs, Value target, Value weight = {}, const NllOptions& options = {});

// (input - target)².
Value mse_loss(Value input, Value target, absl::string_view reduction = "mean");
// |input - target|; also called mean absolute error.
Value l1_loss(Value input, Value target, absl::string_view reduction = "mean");
// d²/(2 beta) where d = |input - target| < beta, else d - beta/2; beta >= 0.
Value smooth_l1_loss(Value input, Value target, double beta = 1.0,
                     absl::string_view reduction = "mean");
// d²/2 where d = |input - target| <= delta, else delta (d - delta/2); delta > 0.
Value huber_loss(Value input, Value target, double delta = 1.0,
                 absl::string_view reduction = "mean");
// target (log target - input), input being log probabilities. Where the target is 0 the loss and
// its gradients are 0, even if the input is -inf (NaN in PyTorch). Reductions: "none", "mean",
// "sum", and "batchmean", which divides by the first extent and is what the mathematics means.
Value kl_div(Value input, Value target, absl::string_view reduction = "mean");

// -(target log p + (1 - target) log(1 - p)), each logarithm cut off at -100. `weight`, which
// broadcasts against p, may be null.
Value binary_cross_entropy(Value p, Value target, Value weight = {},
                           absl::string_view reduction = "mean");
// The same of p = sigmoid(logits), without overflow. `pos_weight`, which broadcasts, weighs the
// targets that are 1.
Value binary_cross_entropy_with_logits(Value logits, Value target, Value weight = {},
                                       Value pos_weight = {}, absl::string_view reduction = "mean");
// alpha (1 - p)^gamma · cross_entropy, p the softmax of the target. Lin et al., "Focal Loss", 2017.
Value focal_loss(Value logits, Value target, double alpha = 1.0, double gamma = 2.0,
                 absl::string_view reduction = "mean");

// max(0, margin - target (a - b)), target 1 or -1.
Value margin_ranking_loss(Value a, Value b, Value target, double margin = 0.0,
                          absl::string_view reduction = "mean");
struct TripletMarginOptions {
  double margin = 1.0;
  double p = 2.0;
  double eps = 1e-6;
  bool swap = false;  // take the smaller of the negative's distances from anchor and positive
  std::string reduction = "mean";
};
// max(0, margin + |anchor - positive + eps| - |anchor - negative + eps|), p-norms over the last
// axis.
Value triplet_margin_loss(Value anchor, Value positive, Value negative,
                          const TripletMarginOptions& options = {});

// Of pairs of rows of [n, size]: mean(y d² + (1 - y) h²), d the Euclidean distance, y [n] 1 for a
// pair that belongs together, h = T softplus((margin - d) / T); T = 0 gives the hinge max(0, margin
// - d) of Hadsell, Chopra and LeCun, 2006.
Value contrastive_loss(Value a, Value b, Value labels, double margin = 1.0,
                       double temperature = 0.1);
// features [2n, size], rows i and i + n being views of one thing: cross entropy of picking the
// partner among all other rows, by similarity / temperature. `normalize`: cosine similarity.
// NT-Xent of Chen et al., "SimCLR", 2020. An odd number of rows is an error; temperature > 0.
Value info_nce_loss(Value features, double temperature = 0.1, bool normalize = true);

}  // namespace modellib

#endif  // MODELLIB_OPS_LOSSES_H_
