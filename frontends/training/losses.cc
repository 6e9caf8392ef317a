#include "modellib/frontends/training/losses.h"

#include "absl/strings/str_cat.h"

namespace modellib::training {
namespace {

Value constant_of(const Tensor& weight, const Value& like) {
  if (weight.dtype() == DType::kInvalid || like.is_null()) return {};
  return like.builder()->constant(weight);
}

// The one target of a prediction; poisoned if there are more or none.
Value only(Targets targets, const Value& prediction) {
  if (targets.size() == 1) return targets[0];
  if (prediction.is_null()) return {};
  return prediction.builder()->poison(
      absl::InvalidArgumentError(absl::StrCat("the loss takes one target, not ", targets.size())));
}

}  // namespace

Value CrossEntropyLoss::operator()(Value logits, Value target) const {
  return cross_entropy(
      logits, target, constant_of(weight, logits),
      {.ignore_index = ignore_index, .reduction = reduction, .label_smoothing = label_smoothing});
}
Value CrossEntropyLoss::operator()(Value logits, Targets targets) const {
  return (*this)(logits, only(targets, logits));
}

Value NLLLoss::operator()(Value log_probs, Value target) const {
  return nll_loss(log_probs, target, constant_of(weight, log_probs),
                  {.ignore_index = ignore_index, .reduction = reduction});
}
Value NLLLoss::operator()(Value log_probs, Targets targets) const {
  return (*this)(log_probs, only(targets, log_probs));
}

Value BCELoss::operator()(Value probabilities, Value target) const {
  return binary_cross_entropy(probabilities, target, {}, reduction);
}
Value BCELoss::operator()(Value probabilities, Targets targets) const {
  return (*this)(probabilities, only(targets, probabilities));
}

Value BCEWithLogitsLoss::operator()(Value logits, Value target) const {
  return binary_cross_entropy_with_logits(logits, target, {}, constant_of(pos_weight, logits),
                                          reduction);
}
Value BCEWithLogitsLoss::operator()(Value logits, Targets targets) const {
  return (*this)(logits, only(targets, logits));
}

Value FocalLoss::operator()(Value logits, Value target) const {
  return focal_loss(logits, target, alpha, gamma, reduction);
}
Value FocalLoss::operator()(Value logits, Targets targets) const {
  return (*this)(logits, only(targets, logits));
}

Value MSELoss::operator()(Value input, Value target) const {
  return mse_loss(input, target, reduction);
}
Value MSELoss::operator()(Value input, Targets targets) const {
  return (*this)(input, only(targets, input));
}

Value L1Loss::operator()(Value input, Value target) const {
  return l1_loss(input, target, reduction);
}
Value L1Loss::operator()(Value input, Targets targets) const {
  return (*this)(input, only(targets, input));
}

Value SmoothL1Loss::operator()(Value input, Value target) const {
  return smooth_l1_loss(input, target, beta, reduction);
}
Value SmoothL1Loss::operator()(Value input, Targets targets) const {
  return (*this)(input, only(targets, input));
}

Value HuberLoss::operator()(Value input, Value target) const {
  return huber_loss(input, target, delta, reduction);
}
Value HuberLoss::operator()(Value input, Targets targets) const {
  return (*this)(input, only(targets, input));
}

Value KLDivLoss::operator()(Value input, Value target) const {
  return kl_div(input, target, reduction);
}
Value KLDivLoss::operator()(Value input, Targets targets) const {
  return (*this)(input, only(targets, input));
}

Value MarginRankingLoss::operator()(Value a, Value b, Value target) const {
  return margin_ranking_loss(a, b, target, margin, reduction);
}

Value TripletMarginLoss::operator()(Value anchor, Value positive, Value negative) const {
  return triplet_margin_loss(anchor, positive, negative, options);
}

Value ContrastiveLoss::operator()(Value a, Value b, Value labels) const {
  return contrastive_loss(a, b, labels, margin, temperature);
}

Value InfoNCELoss::operator()(Value features) const {
  return info_nce_loss(features, temperature, normalize);
}

}  // namespace modellib::training
