// Training parity: small models train for 20 steps on fresh batches and meet the losses that
// PyTorch met, within twice PyTorch's own float32 error plus 1e-4 of the loss
// (tests/goldens/training_parity.py).
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/training/engine.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/train_program.h"
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
#include "modellib/tests/goldens/training_golden.h"

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

struct Case {
  const char* name;
  GoldenModel::Forward forward;
};

class TrainingParity : public testing::TestWithParam<Case> {};

TEST_P(TrainingParity, LossesArePyTorchs) {
  const auto golden = goldens::load_training_golden(std::string("tests/goldens/training/") +
                                                    GetParam().name + ".json");
  ASSERT_TRUE(golden.ok()) << golden.status();
  GoldenModel model(*golden, GetParam().forward);
  const bool classes = golden->loss == goldens::TrainingLoss::kCrossEntropy;
  training::TrainProgramOptions options;
  options.inputs = {
      {"x", {DType::kF32, Shape(golden->input_shape.begin(), golden->input_shape.end())}}};
  options.targets = {
      {"target", classes ? TensorType{DType::kI64, {golden->batch()}}
                         : TensorType{DType::kF32, {golden->batch(), golden->target_count}}}};
  options.loss = [&](Value prediction, absl::Span<const Value> targets) {
    return classes ? cross_entropy(prediction, targets[0]) : mse_loss(prediction, targets[0]);
  };
  const std::unique_ptr<training::Optimizer> optimizer = optimizer_of(golden->optimizer);
  const auto program = training::make_train_program(model, *optimizer, options);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto engine = training::Engine::create(*program, {.threads = 2});
  ASSERT_TRUE(engine.ok()) << engine.status();
  for (const auto& p : golden->parameters) {
    const std::vector<float> values = golden->initial_values(p);
    const absl::Status set = (*engine)->store().set(p.name, *Tensor::of<float>(p.shape, values));
    ASSERT_TRUE(set.ok()) << set;
  }

  const auto entry = (*engine)->entry(training::kTrainEntry);
  ASSERT_TRUE(entry.ok()) << entry.status();
  const Tensor rate = Tensor::scalar(static_cast<float>(optimizer->learning_rate()));
  std::vector<double> losses;
  for (int64_t step = 0; step < golden->steps; ++step) {
    const Tensor x = *Tensor::of<float>(golden->input_shape, golden->inputs(step));
    const Tensor target = classes ? *Tensor::of<int64_t>({golden->batch()}, golden->labels(step))
                                  : *Tensor::of<float>({golden->batch(), golden->target_count},
                                                       golden->targets(step));
    const absl::Status ran = (*engine)->run(*entry, {x, target, rate});
    ASSERT_TRUE(ran.ok()) << ran;
    losses.push_back((*engine)->scalar(*entry, 0));
  }
  EXPECT_EQ(golden->check_losses(losses), absl::OkStatus());
  for (const auto& b : golden->buffers) {
    const auto value = (*engine)->store().get(b.name);
    ASSERT_TRUE(value.ok()) << value.status();
    for (size_t i = 0; i < b.after.size(); ++i) {
      EXPECT_NEAR(value->at(static_cast<int64_t>(i)), b.after[i], 1e-4) << b.name << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, TrainingParity,
    testing::Values(Case{"mlp", mlp}, Case{"cnn", cnn}, Case{"lstm", lstm},
                    Case{"transformer_gelu",
                         [](const GoldenModel& m, Value x) {
                           return transformer(m, x, [](Value v) { return gelu(v); });
                         }},
                    Case{"transformer_relu",
                         [](const GoldenModel& m, Value x) { return transformer(m, x, relu); }}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace modellib
