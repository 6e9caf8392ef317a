// A model and an optimizer as one program: the entries "initialize", "train" and "eval" over one
// table of variables. The training step is one plan: forward, backward and update.
#ifndef MODELLIB_FRONTENDS_TRAINING_TRAIN_PROGRAM_H_
#define MODELLIB_FRONTENDS_TRAINING_TRAIN_PROGRAM_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/training/data_parallel.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/graph/program.h"
#include "modellib/ops/loss_scaling.h"
#include "modellib/passes/compile.h"

namespace modellib::training {

// Training with products in a 16-bit float. Parameters and optimizer slots stay f32; the loss is
// multiplied by a scale before it is differentiated, so that small gradients do not vanish, and
// gradients are divided by it before the update. A step whose gradients overflow leaves parameters,
// slots and the count of steps as they are, bit for bit, and halves the scale; `growth_interval`
// good steps in a row double it. Scale and count are the variables "loss_scale.scale" (f32[]) and
// "loss_scale.good_steps" (i64[]).
struct MixedPrecision {
  DType dtype = DType::kF16;     // or bf16
  double initial_scale = 65536;  // above 0
  LossScaleOptions scaling;
};

struct NamedType {
  std::string name;
  TensorType type;
};

// What a step is made of, for models of any signature.
struct TrainProgramOptions {
  std::vector<NamedType> inputs;   // of the model: "input"
  std::vector<NamedType> targets;  // "target"
  // The model's prediction from its inputs; default: Module::forward of the single input. Needed
  // for several.
  std::function<Value(nn::Module&, absl::Span<const Value> inputs)> forward;
  // A scalar from prediction and targets.
  std::function<Value(Value prediction, absl::Span<const Value> targets)> loss;
  // Largest global L2 norm of the gradients; larger ones are scaled down.
  std::optional<double> gradient_clipping;
  // Several ranks train one model, each on its part of the batch.
  std::optional<DataParallel> data_parallel;
  // The program scales the loss; products become narrow when it is compiled with
  // compile_options().
  std::optional<MixedPrecision> mixed_precision;
};

inline constexpr char kTrainEntry[] = "train";
inline constexpr char kEvalEntry[] = "eval";

// Entries:
//   initialize(seed: i64[]); gives parameters, slots and counters their first values
//   train(inputs…, targets…, learning_rate: f32[]) -> loss, prediction; updates
//   eval(inputs…) -> prediction
// Parameters without a path to the loss are not updated and have no slots: torch.optim skips them.
// If none has one that also wants a gradient, that is an InvalidArgument.
// For the entry "train" each module is in the mode that it has, so that a backbone after eval()
// keeps its running statistics; a model that is itself in eval mode is put into training mode
// first, with all below. The first mistake in the model's code, with its scope; InvalidArgument for
// a negative learning rate and other options out of range.
absl::StatusOr<Program> make_train_program(nn::Module& model, const Optimizer& optimizer,
                                           const TrainProgramOptions& options);

// The default pipeline, with the pass that the options ask for: "autocast-f16" or "autocast-bf16".
// InvalidArgument for another type.
absl::StatusOr<CompileOptions> compile_options(const TrainProgramOptions& options);

// Only the inference: entry "eval", to be compiled with weights from a store or frozen. The model's
// modes are left as they are.
absl::StatusOr<GraphRef> make_eval_graph(nn::Module& model, const TrainProgramOptions& options);

Variable loss_scale();  // f32[] "loss_scale.scale"
Variable good_steps();  // i64[] "loss_scale.good_steps"

// The slot of a parameter, as variables are named: "optimizer.exp_avg.fc1.weight".
Variable slot_variable(const nn::Parameter& parameter, const std::string& slot);

}  // namespace modellib::training

#endif  // MODELLIB_FRONTENDS_TRAINING_TRAIN_PROGRAM_H_
