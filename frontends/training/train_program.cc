#include "modellib/frontends/training/train_program.h"

#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/frontends/nn/random_state.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/collectives.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/loss_scaling.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"

namespace modellib::training {
namespace {

std::vector<Value> declare(GraphBuilder& builder, const std::vector<NamedType>& types) {
  std::vector<Value> values;
  for (const NamedType& t : types) values.push_back(builder.input(t.name, t.type));
  return values;
}

Value predict(nn::Module& model, const TrainProgramOptions& options, const std::vector<Value>& in) {
  return options.forward ? options.forward(model, in) : model.forward(in[0]);
}

// InvalidArgument unless predict() has what it needs.
absl::Status check_inputs(const TrainProgramOptions& options) {
  if (options.forward || options.inputs.size() == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      options.inputs.size(), " inputs need a forward function: Module::forward takes one"));
}

// InvalidArgument for what no graph shows.
absl::Status check(const Optimizer& optimizer, const TrainProgramOptions& options) {
  if (options.inputs.empty() || !options.loss) {
    return absl::InvalidArgumentError("a training program needs an input and a loss");
  }
  MODELLIB_RETURN_IF_ERROR(check_inputs(options));
  if (!(optimizer.learning_rate() >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the learning rate must not be negative, is ", optimizer.learning_rate()));
  }
  if (options.mixed_precision.has_value()) {
    const double scale = options.mixed_precision->initial_scale;
    using F32 = std::numeric_limits<float>;
    if (!(scale >= F32::min() && scale <= F32::max())) {
      return absl::InvalidArgumentError(
          absl::StrCat("the initial loss scale must be a positive f32, is ", scale));
    }
  }
  return absl::OkStatus();
}

// Names of parameters.
using Names = absl::flat_hash_set<std::string>;

// `updated`: the parameters that have slots.
absl::StatusOr<GraphRef> initialize_graph(nn::Module& model, const Optimizer& optimizer,
                                          const Names& updated,
                                          const TrainProgramOptions& options) {
  GraphBuilder b(builtin_ops(), kInitializeEntry);
  const Value seed = b.input("seed", {DType::kI64, {}});
  const auto initialize = [&](const nn::Parameter& p) {
    const GraphBuilder::Scope scope(b, p.name());
    if (absl::Status s = p.status(); !s.ok()) {
      b.poison(std::move(s));
      return;
    }
    if (!p.initializer()) {
      b.poison(absl::InvalidArgumentError(
          absl::StrCat("parameter '", p.name(), "' has no initializer")));
      return;
    }
    const Variable v = p.variable();
    b.assign(v, p.initializer()(b, seed, v.type));
  };
  for (const auto& [name, p] : model.named_parameters()) {
    initialize(p);
    if (!updated.contains(p.name())) continue;
    for (const std::string& slot : optimizer.slots()) {
      const Variable v = slot_variable(p, slot);
      b.assign(v, nn::init::zeros()(b, seed, v.type));
    }
  }
  for (const auto& [name, p] : model.named_buffers()) initialize(p);
  b.assign(nn::random_seed(), seed);
  b.assign(nn::step_count(), b.scalar(0, DType::kI64));
  if (options.mixed_precision.has_value()) {
    b.assign(loss_scale(), b.scalar(options.mixed_precision->initial_scale));
    b.assign(good_steps(), b.scalar(0, DType::kI64));
  }
  return b.build();
}

// Of each parameter, null where the loss does not depend on it. Whatever the parameter has held in
// the graph counts: a table that is renormalised before each look-up is another value each time.
std::vector<Value> gradients_of(GraphBuilder& b, Value loss,
                                const std::vector<nn::Parameter>& parameters) {
  std::vector<Value> values;
  std::vector<size_t> ends;  // of each parameter's in `values`
  for (const nn::Parameter& p : parameters) {
    p.read(b);  // at least what it holds now
    for (const Value& value : b.contents(p.variable())) values.push_back(value);
    ends.push_back(values.size());
  }
  const std::vector<Value> partial = partial_gradients(b, loss, values);
  std::vector<Value> gradients;
  for (size_t i = 0, at = 0; i < parameters.size(); ++i) {
    Value sum;
    for (; at < ends[i]; ++at) sum = add_gradients(sum, partial[at]);
    gradients.push_back(sum);
  }
  return gradients;
}

// What a step updates: the parameters that the loss depends on.
struct Backward {
  std::vector<nn::Parameter> parameters;
  std::vector<Value> values;  // what they hold
  std::vector<Value> gradients;
  Value ok;     // whether the updates are to take place; null: always
  Value scale;  // of the gradients; null: 1
};

// With mixed precision the gradients are those of the scaled loss, and the scale is updated.
Backward differentiate(GraphBuilder& b, Value loss, const std::vector<nn::Parameter>& parameters,
                       const TrainProgramOptions& options) {
  Backward back;
  LossScale state;
  Value unscale;
  if (options.mixed_precision.has_value()) {
    state = {b.variable(loss_scale()), b.variable(good_steps())};
    loss = loss * (loss.dtype() == DType::kF32 ? state.scale : cast(state.scale, loss.dtype()));
    unscale = 1.0 / state.scale;
  }
  const std::vector<Value> gradients = gradients_of(b, loss, parameters);
  if (!b.status().ok()) return back;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (gradients[i].is_null()) continue;
    back.parameters.push_back(parameters[i]);
    back.values.push_back(parameters[i].read(b));
    back.gradients.push_back(gradients[i]);
  }
  if (back.gradients.empty()) {
    b.poison(absl::InvalidArgumentError(
        parameters.empty()
            ? "nothing to train: no parameter of the model wants a gradient"
            : "nothing to train: the loss depends on no parameter that wants a gradient"));
    return back;
  }
  if (options.data_parallel.has_value()) {
    back.gradients = average_gradients(b, back.gradients, *options.data_parallel);
  }
  back.scale = unscale;
  if (options.gradient_clipping.has_value()) {
    const Value factor =
        clip_factor(global_norm(back.gradients, unscale), *options.gradient_clipping);
    back.scale = unscale.is_null() ? factor : unscale * factor;
  }
  if (options.mixed_precision.has_value()) {
    const GraphBuilder::Scope scope(b, "loss_scale");
    back.ok = all_finite(back.gradients);
    const LossScale next = update_loss_scale(state, back.ok, options.mixed_precision->scaling);
    b.assign(loss_scale(), next.scale);
    b.assign(good_steps(), next.good_steps);
  }
  return back;
}

// `updated`: receives the parameters that the step updates.
absl::StatusOr<GraphRef> train_graph(nn::Module& model, const Optimizer& optimizer,
                                     const TrainProgramOptions& options, Names& updated) {
  GraphBuilder b(builtin_ops(), kTrainEntry);
  const std::vector<Value> inputs = declare(b, options.inputs);
  const std::vector<Value> targets = declare(b, options.targets);
  const Value lr = b.input("learning_rate", {DType::kF32, {}});
  if (!model.is_training()) model.train();
  const Value prediction = predict(model, options, inputs);
  const Value loss = options.loss(prediction, targets);

  std::vector<nn::Parameter> parameters;
  for (const auto& [name, p] : model.named_parameters()) {
    if (p.requires_grad()) parameters.push_back(p);
  }
  if (!b.status().ok()) return b.status();
  if (loss.is_null()) return absl::InvalidArgumentError("the loss is a null value");
  const Value reported = options.data_parallel.has_value() ? all_reduce_mean(loss) : loss;
  const Backward back = differentiate(b, loss, parameters, options);
  if (!b.status().ok()) return b.status();
  const Value steps = b.variable(nn::step_count());
  const Value next_step = steps + b.scalar(1, DType::kI64);
  const OptimizerStep step{.lr = lr, .step = next_step, .ok = back.ok, .scale = back.scale};
  const std::vector<std::string> slots = optimizer.slots();
  for (size_t i = 0; i < back.parameters.size(); ++i) {
    const nn::Parameter& p = back.parameters[i];
    const GraphBuilder::Scope scope(b, absl::StrCat("update.", p.name()));
    std::vector<Value> state;
    for (const std::string& slot : slots) state.push_back(b.variable(slot_variable(p, slot)));
    const std::vector<Value> next =
        optimizer.update(back.values[i], state, back.gradients[i], step);
    if (!b.status().ok()) return b.status();
    if (next.size() != slots.size() + 1) {
      return absl::InvalidArgumentError(absl::StrCat("the optimizer must give the new value of '",
                                                     p.name(), "' and of its ", slots.size(),
                                                     " slots, gives ", next.size(), " values"));
    }
    b.assign(p.variable(), next[0]);
    for (size_t s = 0; s < slots.size(); ++s) b.assign(slot_variable(p, slots[s]), next[s + 1]);
    updated.insert(p.name());
  }
  b.assign(nn::step_count(), back.ok.is_null() ? next_step : where(back.ok, next_step, steps));
  b.output("loss", reported);
  b.output("prediction", prediction);
  return b.build();
}

}  // namespace

Variable loss_scale() { return {"loss_scale.scale", {DType::kF32, {}}}; }
Variable good_steps() { return {"loss_scale.good_steps", {DType::kI64, {}}}; }

absl::StatusOr<CompileOptions> compile_options(const TrainProgramOptions& options) {
  CompileOptions result;
  if (!options.mixed_precision.has_value()) return result;
  const DType dtype = options.mixed_precision->dtype;
  if (dtype != DType::kF16 && dtype != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("mixed precision is for f16 and bf16, not ", to_string(dtype)));
  }
  result.pipeline.passes = default_pipeline({absl::StrCat("autocast-", to_string(dtype))});
  return result;
}

Variable slot_variable(const nn::Parameter& parameter, const std::string& slot) {
  Variable v = parameter.variable();
  v.name = absl::StrCat("optimizer.", slot, ".", v.name);
  return v;
}

absl::StatusOr<GraphRef> make_eval_graph(nn::Module& model, const TrainProgramOptions& options) {
  MODELLIB_RETURN_IF_ERROR(check_inputs(options));
  model.name_parameters();
  GraphBuilder b(builtin_ops(), kEvalEntry);
  const std::vector<Value> inputs = declare(b, options.inputs);
  std::vector<std::pair<nn::Module*, bool>> modes;
  for (nn::Module* m : model.modules()) modes.emplace_back(m, m->is_training());
  model.eval();
  b.output("prediction", predict(model, options, inputs));
  // A module comes before those below, whose modes it sets too.
  for (const auto& [m, is_training] : modes) m->train(is_training);
  return b.build();
}

absl::StatusOr<Program> make_train_program(nn::Module& model, const Optimizer& optimizer,
                                           const TrainProgramOptions& options) {
  MODELLIB_RETURN_IF_ERROR(check(optimizer, options));
  model.name_parameters();
  Program program;
  Names updated;
  MODELLIB_ASSIGN_OR_RETURN(GraphRef train, train_graph(model, optimizer, options, updated));
  MODELLIB_ASSIGN_OR_RETURN(GraphRef initialize,
                            initialize_graph(model, optimizer, updated, options));
  MODELLIB_ASSIGN_OR_RETURN(GraphRef eval, make_eval_graph(model, options));
  program.entries = {{std::string(kInitializeEntry), std::move(initialize)},
                     {kTrainEntry, std::move(train)},
                     {kEvalEntry, std::move(eval)}};
  MODELLIB_RETURN_IF_ERROR(program.verify());
  return program;
}

}  // namespace modellib::training
