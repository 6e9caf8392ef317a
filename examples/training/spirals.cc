// Training in 60 lines: a small network learns on which of two spirals a point lies.
#include <cmath>
#include <cstdio>
#include <numbers>

#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/training/training.h"
#include "modellib/graph/status_macros.h"

namespace modellib {

// n points, by turns on one spiral and on the other; their turns lie between each other's.
absl::StatusOr<training::Batch> make_spirals(int64_t n) {
  training::Batch points;
  MODELLIB_ASSIGN_OR_RETURN(points.input, Tensor::zeros(DType::kF32, {n, 2}));
  MODELLIB_ASSIGN_OR_RETURN(points.target, Tensor::zeros(DType::kI64, {n}));
  for (int64_t i = 0; i < n; ++i) {
    const double radius = 0.1 + 0.9 * static_cast<double>(i) / static_cast<double>(n);
    const double angle = (3 * radius + static_cast<double>(i % 2)) * std::numbers::pi;
    points.input.set(2 * i, radius * std::cos(angle));
    points.input.set(2 * i + 1, radius * std::sin(angle));
    points.target.set_int(i, i % 2);
  }
  return points;
}

absl::Status train() {
  nn::Sequential model(nn::Linear(2, 32), nn::Tanh(), nn::Linear(32, 32), nn::Tanh(),
                       nn::Linear(32, 2));
  const training::Adam adam({.lr = 1e-2});
  training::TrainProgramOptions step;
  step.inputs = {{"point", {DType::kF32, {Dim::symbol("batch"), 2}}}};
  step.targets = {{"spiral", {DType::kI64, {Dim::symbol("batch")}}}};
  step.loss = training::CrossEntropyLoss();
  MODELLIB_ASSIGN_OR_RETURN(const Program program, make_train_program(model, adam, step));
  training::EngineOptions options;
  options.compile.dims["batch"] = {1, 1000};
  MODELLIB_ASSIGN_OR_RETURN(const auto engine, training::Engine::create(program, options));
  MODELLIB_ASSIGN_OR_RETURN(const auto update, engine->entry(training::kTrainEntry));
  MODELLIB_ASSIGN_OR_RETURN(const auto predict, engine->entry(training::kEvalEntry));

  MODELLIB_ASSIGN_OR_RETURN(const training::Batch seen, make_spirals(1000));
  MODELLIB_ASSIGN_OR_RETURN(
      auto batches,
      training::DataLoader::create(seen.input, seen.target, {.batch_size = 50, .shuffle = true}));
  const Tensor rate = Tensor::scalar(static_cast<float>(adam.learning_rate()));
  for (int epoch = 1; epoch <= 60; ++epoch) {
    batches.begin_epoch(epoch);
    while (const training::Batch* b = batches.next()) {
      MODELLIB_RETURN_IF_ERROR(engine->run(update, {b->input, b->target, rate}));
    }
    if (epoch % 10 == 0) std::printf("epoch %d: loss %.4f\n", epoch, engine->scalar(update, 0));
  }
  MODELLIB_ASSIGN_OR_RETURN(const training::Batch unseen, make_spirals(333));
  MODELLIB_RETURN_IF_ERROR(engine->run(predict, {unseen.input}));
  MODELLIB_ASSIGN_OR_RETURN(const Tensor logits, engine->output(predict, 0));
  int right = 0;
  for (int i = 0; i < 333; ++i) right += (logits.at(2 * i + 1) > logits.at(2 * i)) == i % 2;
  std::printf("%d of 333 unseen points are right\n", right);
  return absl::OkStatus();
}

}  // namespace modellib

int main() {
  const absl::Status status = modellib::train();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
