#include "modellib/tests/training/golden_training.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/nn/nn.h"
#include "modellib/frontends/training/losses.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

using goldens::TrainingGolden;

struct Mlp : nn::Module {
  Mlp() : fc1(20, 32), fc2(32, 32), fc3(32, 5) {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
  }
  Value forward(Value x) override { return fc3.forward(relu(fc2.forward(relu(fc1.forward(x))))); }
  nn::Linear fc1, fc2, fc3;
};

struct ResidualCnn : nn::Module {
  ResidualCnn() : conv1(conv3x3(3)), conv2(conv3x3(8)), conv3(conv3x3(8)) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("conv2", conv2);
    register_module("bn2", bn2);
    register_module("conv3", conv3);
    register_module("bn3", bn3);
    register_module("fc", fc);
  }
  Value forward(Value x) override {
    x = max_pool.forward(relu(bn1.forward(conv1.forward(x))));
    const Value y = relu(bn2.forward(conv2.forward(x)));
    x = relu(bn3.forward(conv3.forward(y)) + x);
    return fc.forward(flatten(avg_pool.forward(x), 1));
  }
  static nn::Conv2d conv3x3(int64_t in) { return {in, 8, 3, {.padding = 1, .bias = false}}; }
  nn::Conv2d conv1, conv2, conv3;
  nn::BatchNorm2d bn1{8}, bn2{8}, bn3{8};
  nn::MaxPool2d max_pool{2};
  nn::AvgPool2d avg_pool{2};
  nn::Linear fc{32, 4};
};

struct Lstm : nn::Module {
  Lstm() {
    register_module("cell", cell);
    register_module("head", head);
  }
  Value forward(Value x) override {
    const Value zeros = full(x, {x.dim(0), 12}, 0);
    LstmState state{zeros, zeros};
    for (int64_t t = 0; t < 5; ++t) {
      state = cell.forward(squeeze(slice_axis(x, 1, t, t + 1), {1}), state);
    }
    return head.forward(state.h);
  }
  nn::LSTMCell cell{8, 12};
  nn::Linear head{12, 3};
};

struct Transformer : nn::Module {
  explicit Transformer(const nn::ActivationFunction& activation)
      : block(16, 2,
              {.dim_feedforward = 32,
               .dropout = 0.0,
               .activation = activation,
               .batch_first = true}) {
    register_module("block", block);
    register_module("head", head);
  }
  Value forward(Value x) override { return head.forward(block.forward(x).mean(1)); }
  nn::TransformerEncoderLayer block;
  nn::Linear head{16, 4};
};

std::unique_ptr<training::Optimizer> optimizer_of(const goldens::TrainingOptimizer& o) {
  if (o.name == "sgd") {
    return std::make_unique<training::SGD>(training::SgdOptions{
        .lr = o.learning_rate, .momentum = o.momentum, .weight_decay = o.weight_decay});
  }
  const auto adam = [&o]<class Options>(Options) {
    return Options{.lr = o.learning_rate,
                   .beta1 = o.beta1,
                   .beta2 = o.beta2,
                   .eps = o.eps,
                   .weight_decay = o.weight_decay};
  };
  if (o.name == "adamw") {
    return std::make_unique<training::AdamW>(adam(training::AdamWOptions{}));
  }
  return std::make_unique<training::Adam>(adam(training::AdamOptions{}));
}

struct GoldenModel {
  const char* name;
  std::function<std::unique_ptr<nn::Module>()> make;
};

const std::vector<GoldenModel>& models() {
  static const auto* const all = new std::vector<GoldenModel>{
      {"mlp", [] { return std::make_unique<Mlp>(); }},
      {"cnn", [] { return std::make_unique<ResidualCnn>(); }},
      {"lstm", [] { return std::make_unique<Lstm>(); }},
      {"transformer_gelu", [] { return std::make_unique<Transformer>(nn::GELU()); }},
      {"transformer_relu", [] { return std::make_unique<Transformer>(nn::ReLU()); }}};
  return *all;
}

bool has_classes(const TrainingGolden& golden) {
  return golden.loss == goldens::TrainingLoss::kCrossEntropy;
}

}  // namespace

std::vector<Tensor> GoldenTraining::inputs(int64_t step) const {
  const Tensor x = *Tensor::of<float>(golden.input_shape, golden.inputs(step));
  const Tensor target =
      has_classes(golden)
          ? *Tensor::of<int64_t>({golden.batch()}, golden.labels(step))
          : *Tensor::of<float>({golden.batch(), golden.target_count}, golden.targets(step));
  return {x, target, Tensor::scalar(static_cast<float>(optimizer->learning_rate()))};
}

std::map<std::string, Tensor> GoldenTraining::parameters() const {
  nn::StateDict state;
  for (const auto& p : golden.parameters) {
    const std::vector<float> values = golden.initial_values(p);
    state[p.name] = *Tensor::of<float>(p.shape, values);
  }
  return *nn::own_names(*model, state);  // a transformer's projections are stacked in PyTorch
}

std::vector<std::string> golden_trainings() {
  std::vector<std::string> names;
  for (const GoldenModel& m : models()) names.emplace_back(m.name);
  return names;
}

absl::StatusOr<GoldenTraining> make_golden_training(const std::string& name) {
  GoldenTraining result;
  for (const GoldenModel& m : models()) {
    if (name == m.name) result.model = m.make();
  }
  if (result.model == nullptr) {
    return absl::NotFoundError(absl::StrCat("no golden training '", name, "'"));
  }
  MODELLIB_ASSIGN_OR_RETURN(result.golden, goldens::load_training_golden(absl::StrCat(
                                               "tests/goldens/training/", name, ".json")));
  const TrainingGolden& golden = result.golden;
  result.optimizer = optimizer_of(golden.optimizer);
  const bool classes = has_classes(golden);
  training::TrainProgramOptions options;
  options.inputs = {
      {"x", {DType::kF32, Shape(golden.input_shape.begin(), golden.input_shape.end())}}};
  options.targets = {
      {"target", classes ? TensorType{DType::kI64, {golden.batch()}}
                         : TensorType{DType::kF32, {golden.batch(), golden.target_count}}}};
  if (classes) {
    options.loss = training::CrossEntropyLoss{};
  } else {
    options.loss = training::MSELoss{};
  }
  MODELLIB_ASSIGN_OR_RETURN(
      result.program, training::make_train_program(*result.model, *result.optimizer, options));
  return result;
}

}  // namespace modellib
