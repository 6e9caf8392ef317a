#include "modellib/tests/training/golden_training.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/batch_norm.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/linear.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/normalization.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/recurrent.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

using goldens::TrainingGolden;

// A parameter or buffer of its own, so that a model can hold any number under any path.
struct Leaf : nn::Module {
  Leaf(const std::string& name, const std::vector<int64_t>& shape, double initial, bool is_buffer)
      : value(shape, nn::init::constant(initial)) {
    is_buffer ? register_buffer(name, value) : register_parameter(name, value);
  }
  nn::Parameter value;
};

// What a golden's parameters and buffers are, and a forward that finds them by name.
class GoldenModel : public nn::Module {
 public:
  using Forward = std::function<Value(const GoldenModel&, Value)>;

  GoldenModel(const TrainingGolden& golden, Forward forward) : forward_(std::move(forward)) {
    for (const auto& p : golden.parameters) add(p.name, p.shape, 0, false);
    for (const auto& b : golden.buffers) add(b.name, b.shape, b.initial, true);
  }

  Value forward(Value x) override { return forward_(*this, x); }
  const nn::Parameter& at(const std::string& name) const { return leaves_.at(name)->value; }
  Value read(const std::string& name, Value like) const { return at(name).read(like); }

  Value dense(const std::string& name, Value x) const {
    return linear(x, read(name + ".weight", x), read(name + ".bias", x));
  }
  Value norm(const std::string& name, Value x) const {
    return layer_norm(x, read(name + ".weight", x), read(name + ".bias", x));
  }
  Value conv3x3(const std::string& name, Value x) const {
    return conv2d(x, read(name + ".weight", x), {.padding_low = {1, 1}, .padding_high = {1, 1}});
  }
  Value batch_norm(const std::string& name, Value x) const {
    const nn::Parameter &mean = at(name + ".running_mean"), &var = at(name + ".running_var");
    const Value weight = read(name + ".weight", x), bias = read(name + ".bias", x);
    if (!is_training()) return batch_norm_inference(x, mean.read(x), var.read(x), weight, bias);
    const BatchNormOutputs batch = batch_norm_training(x, weight, bias);
    const RunningStatistics next = update_running_statistics({mean.read(x), var.read(x)}, batch, x);
    mean.assign(next.mean);
    var.assign(next.var);
    return batch.y;
  }

 private:
  void add(const std::string& path, const std::vector<int64_t>& shape, double initial,
           bool is_buffer) {
    const size_t dot = path.rfind('.');
    auto leaf = std::make_shared<Leaf>(path.substr(dot + 1), shape, initial, is_buffer);
    register_module(path.substr(0, dot), leaf);
    leaves_[path] = std::move(leaf);
  }

  Forward forward_;
  std::map<std::string, std::shared_ptr<Leaf>> leaves_;
};

Value mlp(const GoldenModel& m, Value x) {
  return m.dense("fc3", relu(m.dense("fc2", relu(m.dense("fc1", x)))));
}

Value cnn(const GoldenModel& m, Value x) {
  const PoolAttributes window{.kernel = {2, 2}};
  const Value p = max_pool(relu(m.batch_norm("bn1", m.conv3x3("conv1", x))), window);
  const Value y = relu(m.batch_norm("bn2", m.conv3x3("conv2", p)));
  const Value z = relu(m.batch_norm("bn3", m.conv3x3("conv3", y)) + p);
  return m.dense("fc", flatten(avg_pool(z, window), 1));
}

Value lstm(const GoldenModel& m, Value x) {
  const RecurrentWeights weights{m.read("cell.weight_ih", x), m.read("cell.weight_hh", x),
                                 m.read("cell.bias_ih", x), m.read("cell.bias_hh", x)};
  const Value zeros = full(x, {x.dim(0), 12}, 0);
  LstmState state{zeros, zeros};
  for (int64_t t = 0; t < 5; ++t) {
    state = lstm_cell(squeeze(slice_axis(x, 1, t, t + 1), {1}), state, weights);
  }
  return m.dense("head", state.h);
}

Value transformer(const GoldenModel& m, Value x, Value (*activation)(Value)) {
  const Dim batch = x.dim(0);
  const Value packed = linear(x, m.read("block.self_attn.in_proj_weight", x),
                              m.read("block.self_attn.in_proj_bias", x));
  std::vector<Value> heads;
  for (const Value& part : chunk(packed, 3, -1)) {
    heads.push_back(transpose(reshape(part, {batch, 6, 2, 8}), {0, 2, 1, 3}));
  }
  const Value seen = attention(heads[0], heads[1], heads[2]);
  const Value joined = reshape(transpose(seen, {0, 2, 1, 3}), {batch, 6, 16});
  const Value n = m.norm("block.norm1", m.dense("block.self_attn.out_proj", joined) + x);
  const Value y = m.dense("block.linear2", activation(m.dense("block.linear1", n)));
  return m.dense("head", reduce_mean(m.norm("block.norm2", y + n), {.axes = {1}}));
}

std::unique_ptr<training::Optimizer> optimizer_of(const goldens::TrainingOptimizer& o) {
  if (o.name == "sgd") {
    return std::make_unique<training::SGD>(training::SgdOptions{
        .lr = o.learning_rate, .momentum = o.momentum, .weight_decay = o.weight_decay});
  }
  const training::AdamOptions adam{.lr = o.learning_rate,
                                   .beta1 = o.beta1,
                                   .beta2 = o.beta2,
                                   .eps = o.eps,
                                   .weight_decay = o.weight_decay};
  if (o.name == "adamw") return std::make_unique<training::AdamW>(adam);
  return std::make_unique<training::Adam>(adam);
}

struct GoldenForward {
  const char* name;
  GoldenModel::Forward forward;
};

const std::vector<GoldenForward>& forwards() {
  static const auto* const all = new std::vector<GoldenForward>{
      {"mlp", mlp},
      {"cnn", cnn},
      {"lstm", lstm},
      {"transformer_gelu",
       [](const GoldenModel& m, Value x) {
         return transformer(m, x, [](Value v) { return gelu(v); });
       }},
      {"transformer_relu", [](const GoldenModel& m, Value x) { return transformer(m, x, relu); }},
  };
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
  std::map<std::string, Tensor> result;
  for (const auto& p : golden.parameters) {
    const std::vector<float> values = golden.initial_values(p);
    result[p.name] = *Tensor::of<float>(p.shape, values);
  }
  return result;
}

std::vector<std::string> golden_trainings() {
  std::vector<std::string> names;
  for (const GoldenForward& f : forwards()) names.emplace_back(f.name);
  return names;
}

absl::StatusOr<GoldenTraining> make_golden_training(const std::string& name) {
  GoldenModel::Forward forward;
  for (const GoldenForward& f : forwards()) {
    if (name == f.name) forward = f.forward;
  }
  if (!forward) return absl::NotFoundError(absl::StrCat("no golden training '", name, "'"));
  GoldenTraining result;
  MODELLIB_ASSIGN_OR_RETURN(result.golden, goldens::load_training_golden(absl::StrCat(
                                               "tests/goldens/training/", name, ".json")));
  const TrainingGolden& golden = result.golden;
  result.model = std::make_unique<GoldenModel>(golden, std::move(forward));
  result.optimizer = optimizer_of(golden.optimizer);
  const bool classes = has_classes(golden);
  training::TrainProgramOptions options;
  options.inputs = {
      {"x", {DType::kF32, Shape(golden.input_shape.begin(), golden.input_shape.end())}}};
  options.targets = {
      {"target", classes ? TensorType{DType::kI64, {golden.batch()}}
                         : TensorType{DType::kF32, {golden.batch(), golden.target_count}}}};
  options.loss = [&](Value prediction, absl::Span<const Value> targets) {
    return classes ? cross_entropy(prediction, targets[0]) : mse_loss(prediction, targets[0]);
  };
  MODELLIB_ASSIGN_OR_RETURN(
      result.program, training::make_train_program(*result.model, *result.optimizer, options));
  return result;
}

}  // namespace modellib
