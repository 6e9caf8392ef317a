// Scheduling problems of the shape of well-known networks, for tests and benchmarks: the nodes,
// sizes and lifetimes of ResNet-50, BERT-base and GPT-2 and of their training steps, without any
// arithmetic.
//
// In a training step the forward pass saves what the backward pass reads, gradients flow in
// reverse, and each weight has a gradient of its own size and an update. The updates have the
// largest indices, so that the plain topological order runs them last, as a framework with a
// separate optimizer does.
#ifndef MODELLIB_PASSES_TRACE_MODELS_H_
#define MODELLIB_PASSES_TRACE_MODELS_H_

#include <cstdint>

#include "modellib/passes/scheduler.h"

namespace modellib {

enum class TraceModel { kResNet50, kBertBase, kGpt2 };

struct TraceOptions {
  bool training = false;
  int64_t batch = 1;
  int64_t sequence = 128;  // tokens; transformers alone
};

ScheduleProblem make_trace(TraceModel model, const TraceOptions& options);

}  // namespace modellib

#endif  // MODELLIB_PASSES_TRACE_MODELS_H_
