#include "modellib/examples/mnist/training.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "modellib/frontends/training/data_loader.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/progress_bar.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/freeze.h"

namespace modellib::examples {

double accuracy_of(const Tensor& logits, const Tensor& labels) {
  const int64_t classes = logits.shape()[1];
  const absl::Span<const float> scores = logits.as<float>();
  int64_t right = 0;
  for (int64_t i = 0; i < labels.elements(); ++i) {
    const auto row = scores.subspan(static_cast<size_t>(i * classes), static_cast<size_t>(classes));
    right += std::max_element(row.begin(), row.end()) - row.begin() == labels.int_at(i);
  }
  return static_cast<double>(right) / static_cast<double>(labels.elements());
}

absl::StatusOr<DigitsTraining> train_on_digits(const Digits& train, const Digits& validation,
                                               const DigitsTrainingOptions& options) {
  SimpleNet model(784, 256, 10);
  const training::Adam optimizer({.lr = 1e-3});
  const Dim batch = Dim::symbol("batch");
  training::TrainProgramOptions step;
  step.inputs = {{"images", {DType::kF32, {batch, 784}}}};
  step.targets = {{"labels", {DType::kI64, {batch}}}};
  step.loss = [](Value logits, absl::Span<const Value> targets) {
    return cross_entropy(logits, targets[0]);
  };
  MODELLIB_ASSIGN_OR_RETURN(const Program program,
                            training::make_train_program(model, optimizer, step));

  DigitsTraining result;
  training::EngineOptions engine_options;
  engine_options.compile.dims["batch"] = {1, 1000};
  engine_options.seed = options.seed;
  engine_options.threads = options.threads;
  MODELLIB_ASSIGN_OR_RETURN(result.engine, training::Engine::create(program, engine_options));
  training::Engine& engine = *result.engine;
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId train_entry,
                            engine.entry(training::kTrainEntry));
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId eval_entry, engine.entry(training::kEvalEntry));
  MODELLIB_ASSIGN_OR_RETURN(
      training::DataLoader loader,
      training::DataLoader::create(train.images, train.labels,
                                   {.batch_size = options.batch_size,
                                    .shuffle = true,
                                    .seed = static_cast<uint64_t>(options.seed)}));
  const Tensor rate = Tensor::scalar(static_cast<float>(optimizer.learning_rate()));

  const auto start = std::chrono::steady_clock::now();
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    training::ProgressBar bar(absl::StrFormat("epoch %2d/%d", epoch + 1, options.epochs),
                              loader.batches());
    double loss = 0;
    int64_t steps = 0;
    loader.begin_epoch(epoch);
    while (const training::Batch* b = loader.next()) {
      MODELLIB_RETURN_IF_ERROR(engine.run(train_entry, {b->input, b->target, rate}));
      loss += engine.scalar(train_entry, 0);
      ++steps;
      if (options.verbose) {
        bar.update(steps, absl::StrFormat("loss %.4f", loss / static_cast<double>(steps)));
      }
    }
    MODELLIB_RETURN_IF_ERROR(engine.run(eval_entry, {validation.images}));
    MODELLIB_ASSIGN_OR_RETURN(const Tensor logits, engine.output(eval_entry, 0));
    result.accuracy = accuracy_of(logits, validation.labels);
    if (options.verbose) {
      bar.finish(absl::StrFormat("loss %.4f  validation accuracy %.2f%%",
                                 loss / static_cast<double>(loader.batches()),
                                 100 * result.accuracy));
    }
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  MODELLIB_ASSIGN_OR_RETURN(const GraphRef eval, training::make_eval_graph(model, step));
  MODELLIB_ASSIGN_OR_RETURN(result.frozen, freeze(*eval, builtin_ops(), [&](const Variable& v) {
                              return engine.store().get(v.name);
                            }));
  return result;
}

}  // namespace modellib::examples
