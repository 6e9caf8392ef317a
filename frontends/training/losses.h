// Losses as values that a training step is given: options with a call, each as PyTorch's module of
// the same name. The formulas are in ops/losses.h.
//
//   TrainProgramOptions step;
//   step.loss = CrossEntropyLoss{.label_smoothing = 0.1};
//
// A loss of a prediction and one target can be called with both, or, as TrainProgramOptions calls
// it, with the list of targets, which must then have one. A loss must be a scalar to be trained:
// reduction "none" is for what a model makes of the rest.
#ifndef MODELLIB_FRONTENDS_TRAINING_LOSSES_H_
#define MODELLIB_FRONTENDS_TRAINING_LOSSES_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/tensor.h"
#include "modellib/ops/losses.h"

namespace modellib::training {

using Targets = absl::Span<const Value>;

// Of logits [batch, classes, …] and classes i64 [batch, …], or probabilities.
struct CrossEntropyLoss {
  Tensor weight = {};  // f32 [classes]; without a type: none
  int64_t ignore_index = -100;
  std::string reduction = "mean";
  double label_smoothing = 0.0;
  Value operator()(Value logits, Value target) const;
  Value operator()(Value logits, Targets targets) const;
};

// Of log probabilities.
struct NLLLoss {
  Tensor weight = {};
  int64_t ignore_index = -100;
  std::string reduction = "mean";
  Value operator()(Value log_probs, Value target) const;
  Value operator()(Value log_probs, Targets targets) const;
};

// Of probabilities.
struct BCELoss {
  std::string reduction = "mean";
  Value operator()(Value probabilities, Value target) const;
  Value operator()(Value probabilities, Targets targets) const;
};

struct BCEWithLogitsLoss {
  Tensor pos_weight = {};  // weighs targets that are 1; without a type: none
  std::string reduction = "mean";
  Value operator()(Value logits, Value target) const;
  Value operator()(Value logits, Targets targets) const;
};

struct FocalLoss {
  double alpha = 1.0;
  double gamma = 2.0;
  std::string reduction = "mean";
  Value operator()(Value logits, Value target) const;
  Value operator()(Value logits, Targets targets) const;
};

struct MSELoss {
  std::string reduction = "mean";
  Value operator()(Value input, Value target) const;
  Value operator()(Value input, Targets targets) const;
};

struct L1Loss {
  std::string reduction = "mean";
  Value operator()(Value input, Value target) const;
  Value operator()(Value input, Targets targets) const;
};
using MAELoss = L1Loss;

struct SmoothL1Loss {
  double beta = 1.0;
  std::string reduction = "mean";
  Value operator()(Value input, Value target) const;
  Value operator()(Value input, Targets targets) const;
};

struct HuberLoss {
  double delta = 1.0;
  std::string reduction = "mean";
  Value operator()(Value input, Value target) const;
  Value operator()(Value input, Targets targets) const;
};

// Of log probabilities and probabilities.
struct KLDivLoss {
  std::string reduction = "mean";  // "batchmean" is what the mathematics means
  Value operator()(Value input, Value target) const;
  Value operator()(Value input, Targets targets) const;
};

// Of two predictions; target 1 or -1.
struct MarginRankingLoss {
  double margin = 0.0;
  std::string reduction = "mean";
  Value operator()(Value a, Value b, Value target) const;
};

struct TripletMarginLoss {
  TripletMarginOptions options = {};
  Value operator()(Value anchor, Value positive, Value negative) const;
};

// Of two embeddings [batch, size]; labels 1 for a pair that belongs together.
struct ContrastiveLoss {
  double margin = 1.0;
  double temperature = 0.1;
  Value operator()(Value a, Value b, Value labels) const;
};

// Of features [2 n, size], rows i and i + n being a pair. It has no target.
struct InfoNCELoss {
  double temperature = 0.1;
  bool normalize = true;
  Value operator()(Value features) const;
};

}  // namespace modellib::training

#endif  // MODELLIB_FRONTENDS_TRAINING_LOSSES_H_
