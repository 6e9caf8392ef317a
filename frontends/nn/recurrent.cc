#include "modellib/frontends/nn/recurrent.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/frontends/nn/spatial.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/control.h"
#include "modellib/ops/dropout.h"
#include "modellib/ops/shape.h"

namespace modellib::nn {
namespace {

constexpr int64_t kLstmGates = 4, kGruGates = 3;

Value row(const Value& xs, int64_t i) { return squeeze(slice_axis(xs, 0, i, i + 1), {0}); }

}  // namespace

LSTMCell::LSTMCell(int64_t input_size, int64_t hidden_size, bool bias)
    : weight_ih({kLstmGates * hidden_size, input_size}, init::fan_in_uniform(hidden_size)),
      weight_hh({kLstmGates * hidden_size, hidden_size}, init::fan_in_uniform(hidden_size)),
      input_size(input_size),
      hidden_size(hidden_size) {
  if (bias) {
    bias_ih = Parameter({kLstmGates * hidden_size}, init::fan_in_uniform(hidden_size));
    bias_hh = bias_ih.clone();
  }
  register_parameter("weight_ih", weight_ih);
  register_parameter("weight_hh", weight_hh);
  register_parameter("bias_ih", bias_ih);
  register_parameter("bias_hh", bias_hh);
}

LstmState LSTMCell::forward(Value input, const LstmState& state) {
  const ModuleScope scope(*this, input);
  return lstm_cell(
      input, state,
      {weight_ih.read(input), weight_hh.read(input), bias_ih.read(input), bias_hh.read(input)});
}

GRUCell::GRUCell(int64_t input_size, int64_t hidden_size, bool bias)
    : weight_ih({kGruGates * hidden_size, input_size}, init::fan_in_uniform(hidden_size)),
      weight_hh({kGruGates * hidden_size, hidden_size}, init::fan_in_uniform(hidden_size)),
      input_size(input_size),
      hidden_size(hidden_size) {
  if (bias) {
    bias_ih = Parameter({kGruGates * hidden_size}, init::fan_in_uniform(hidden_size));
    bias_hh = bias_ih.clone();
  }
  register_parameter("weight_ih", weight_ih);
  register_parameter("weight_hh", weight_hh);
  register_parameter("bias_ih", bias_ih);
  register_parameter("bias_hh", bias_hh);
}

Value GRUCell::forward(Value input, Value hidden) {
  const ModuleScope scope(*this, input);
  return gru_cell(
      input, hidden,
      {weight_ih.read(input), weight_hh.read(input), bias_ih.read(input), bias_hh.read(input)});
}

RecurrentLayers::Weights::Weights(const std::string& suffix, int64_t rows, int64_t input,
                                  int64_t hidden, bool bias)
    : weight_ih({rows, input}, init::fan_in_uniform(hidden)),
      weight_hh({rows, hidden}, init::fan_in_uniform(hidden)) {
  if (bias) {
    bias_ih = Parameter({rows}, init::fan_in_uniform(hidden));
    bias_hh = bias_ih.clone();
  }
  register_parameter("weight_ih" + suffix, weight_ih);
  register_parameter("weight_hh" + suffix, weight_hh);
  register_parameter("bias_ih" + suffix, bias_ih);
  register_parameter("bias_hh" + suffix, bias_hh);
}

RecurrentWeights RecurrentLayers::Weights::read(const Value& like) const {
  return {weight_ih.read(like), weight_hh.read(like), bias_ih.read(like), bias_hh.read(like)};
}

RecurrentLayers::RecurrentLayers(int64_t input_size, int64_t hidden_size,
                                 const RecurrentOptions& options, int64_t gates)
    : input_size(input_size), hidden_size(hidden_size), options(options) {
  for (int64_t layer = 0; layer < options.num_layers; ++layer) {
    const int64_t features = layer == 0 ? input_size : directions() * hidden_size;
    for (int64_t d = 0; d < directions(); ++d) {
      register_module(
          "", std::make_shared<Weights>(absl::StrCat("_l", layer, d == 1 ? "_reverse" : ""),
                                        gates * hidden_size, features, hidden_size, options.bias));
    }
  }
}

// xs: [length, batch, features].
RecurrentLayers::Sequences RecurrentLayers::one_direction(Value xs, std::vector<Value> state,
                                                          const RecurrentWeights& weights,
                                                          bool reverse) const {
  const Dim length = xs.dim(0);
  if (!length.is_static()) {
    ScanValues all =
        scan(*xs.builder(), length, state, {xs},
             [&](GraphBuilder&, Value, absl::Span<const Value> carries, absl::Span<const Value> x) {
               std::vector<Value> next = step(x[0], carries, weights);
               return ScanValues{next, {next[0]}};
             },
             {.reverse = reverse});
    return {all.ys.at(0), std::move(all.carries)};
  }
  std::vector<Value> hidden(static_cast<size_t>(length.value()));
  for (int64_t i = 0; i < length.value(); ++i) {
    const int64_t t = reverse ? length.value() - 1 - i : i;
    state = step(row(xs, t), state, weights);
    hidden[static_cast<size_t>(t)] = state[0];
  }
  return {stack(hidden, 0), std::move(state)};
}

RecurrentLayers::Sequences RecurrentLayers::run(Value input, std::vector<Value> initial) {
  const ModuleScope scope(*this, input);
  if (!check_rank(
          input, {3}, "a recurrent layer",
          options.batch_first ? "[batch, length, features]" : "[length, batch, features]")) {
    return {input, std::vector<Value>(initial.size(), input)};
  }
  GraphBuilder& b = *input.builder();
  const auto refuse = [&](absl::string_view what) -> Sequences {
    const Value poisoned =
        b.poison(absl::InvalidArgumentError(absl::StrCat("a recurrent layer ", what)));
    return {poisoned, std::vector<Value>(initial.size(), poisoned)};
  };
  if (options.num_layers < 1) return refuse("needs at least one layer");
  if (!(options.dropout >= 0 && options.dropout <= 1)) {
    return refuse(absl::StrCat("drops with a probability in [0, 1], not ", options.dropout));
  }
  Value xs = options.batch_first ? input.transpose(0, 1) : input;
  if (xs.dim(0).is_static() && xs.dim(0).value() < 1) return refuse("needs at least one step");
  const Dim batch = xs.dim(1);
  const Shape states = {options.num_layers * directions(), batch, hidden_size};
  for (Value& state : initial) {
    state = state.is_null() ? full(input, states, 0)
                            : with_shape(state, states, "an initial state of a recurrent layer");
    if (state.is_poisoned()) return {state, std::vector<Value>(initial.size(), state)};
  }
  std::vector<std::vector<Value>> last(initial.size());
  for (int64_t layer = 0; layer < options.num_layers; ++layer) {
    if (layer > 0 && options.dropout > 0 && is_training()) {
      xs = dropout(xs, random_key(b), {.p = options.dropout});
    }
    std::vector<Value> outputs;
    for (int64_t d = 0; d < directions(); ++d) {
      const int64_t index = layer * directions() + d;
      std::vector<Value> state;
      for (const Value& all : initial) state.push_back(row(all, index));
      const auto& weights = static_cast<const Weights&>(child(static_cast<size_t>(index)));
      Sequences walked = one_direction(xs, std::move(state), weights.read(input), d == 1);
      if (!b.status().ok())
        return {walked.output, std::vector<Value>(initial.size(), walked.output)};
      outputs.push_back(walked.output);
      for (size_t s = 0; s < last.size(); ++s) last[s].push_back(walked.states[s]);
    }
    xs = outputs.size() == 1 ? outputs[0] : concat(outputs, 2);
  }
  Sequences result{options.batch_first ? xs.transpose(0, 1) : xs, {}};
  for (const std::vector<Value>& states : last) result.states.push_back(stack(states, 0));
  return result;
}

LSTM::LSTM(int64_t input_size, int64_t hidden_size, const RecurrentOptions& options)
    : RecurrentLayers(input_size, hidden_size, options, kLstmGates) {}

LstmSequence LSTM::forward(Value input, const LstmState& initial) {
  const Sequences all = run(input, {initial.h, initial.c});
  return {all.output, {all.states[0], all.states[1]}};
}

std::vector<Value> LSTM::step(Value x, absl::Span<const Value> state,
                              const RecurrentWeights& weights) const {
  const LstmState next = lstm_cell(x, {state[0], state[1]}, weights);
  return {next.h, next.c};
}

GRU::GRU(int64_t input_size, int64_t hidden_size, const RecurrentOptions& options)
    : RecurrentLayers(input_size, hidden_size, options, kGruGates) {}

GruSequence GRU::forward(Value input, Value initial) {
  const Sequences all = run(input, {initial});
  return {all.output, all.states[0]};
}

std::vector<Value> GRU::step(Value x, absl::Span<const Value> state,
                             const RecurrentWeights& weights) const {
  return {gru_cell(x, state[0], weights)};
}

}  // namespace modellib::nn
