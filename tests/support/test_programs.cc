#include "modellib/tests/support/test_programs.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/examples/mnist/simple_net.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/frontends/models/language/bert.h"
#include "modellib/frontends/models/language/gpt.h"
#include "modellib/frontends/models/vision/resnet.h"
#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/train_program.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/control.h"
#include "modellib/ops/gradients.h"
#include "modellib/ops/linear.h"
#include "modellib/ops/losses.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/freeze.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/probes/fake_device_backend.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/decoder.h"
#include "modellib/tests/training/golden_training.h"

namespace modellib {
namespace {

using training::kEvalEntry;
using training::kTrainEntry;

Tensor reals(std::vector<int64_t> shape, const std::string& stream, double low = -1) {
  return *random_tensor(DType::kF32, shape, low, 1, stream);
}
Tensor numbers(std::vector<int64_t> shape, int64_t below, const std::string& stream) {
  return *random_tensor(DType::kI64, shape, 0, static_cast<double>(below - 1), stream);
}
Tensor rate(float value) { return Tensor::scalar(value); }

// One rank's.
ProgramCalls::Call call_of(std::string entry, std::vector<Tensor> inputs) {
  return {std::move(entry), {std::move(inputs)}};
}

Value classify_loss(Value logits, absl::Span<const Value> targets) {
  return cross_entropy(logits, targets[0]);
}

absl::StatusOr<TestProgram> golden(const std::string& name, const Backend* backend) {
  MODELLIB_ASSIGN_OR_RETURN(const GoldenTraining training, make_golden_training(name));
  TestProgram result;
  result.program = training.program;
  result.backend = backend;
  if (backend != nullptr) result.options = for_fake_device();
  for (const auto& [variable, value] : training.parameters()) {
    result.calls.variables.emplace_back(variable, value);
  }
  for (int64_t step = 0; step < 3; ++step) {
    const std::vector<Tensor> inputs = training.inputs(step);
    result.calls.calls.push_back(call_of(kTrainEntry, inputs));
    result.calls.calls.push_back(call_of(kEvalEntry, {inputs[0]}));
  }
  return result;
}

absl::StatusOr<Program> mnist_program() {
  examples::SimpleNet model(784, 256, 10);
  const training::Adam optimizer({.lr = 1e-3});
  training::TrainProgramOptions options;
  const Dim batch = Dim::symbol("batch");
  options.inputs = {{"images", {DType::kF32, {batch, 784}}}};
  options.targets = {{"labels", {DType::kI64, {batch}}}};
  options.loss = classify_loss;
  return training::make_train_program(model, optimizer, options);
}

Tensor digits(int64_t n) { return reals({n, 784}, absl::StrCat("digits", n), 0); }

absl::StatusOr<TestProgram> mnist() {
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(result.program, mnist_program());
  result.options.dims["batch"] = {1, 1000};
  // A full batch, and the rest of an epoch.
  for (const int64_t n : {32, 32, 16}) {
    result.calls.calls.push_back(
        call_of(kTrainEntry, {digits(n), numbers({n}, 10, "labels"), rate(1e-3F)}));
    result.calls.calls.push_back(call_of(kEvalEntry, {digits(n)}));
  }
  return result;
}

// The classifier as it goes into a file: the weights are constants.
absl::StatusOr<TestProgram> mnist_frozen() {
  MODELLIB_ASSIGN_OR_RETURN(const Program program, mnist_program());
  TestProgram result;
  result.options.dims["batch"] = {1, 1000};
  MODELLIB_ASSIGN_OR_RETURN(const CpuProgram compiled, compile_for_cpu(program, result.options));
  MODELLIB_ASSIGN_OR_RETURN(const auto store, runtime::VariableStore::create(compiled.executable));
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef frozen,
                            freeze(*program.entries.back().graph, builtin_ops(),
                                   [&](const Variable& v) { return store->get(v.name); }));
  result.program = Program{{{"main", frozen}}};
  for (const int64_t n : {1, 32, 7}) {
    result.calls.calls.push_back(call_of("main", {digits(n)}));
  }
  result.repeats = true;
  return result;
}

// A position that begins again from the first after the last step meets its own old rows, which it
// overwrites or does not read.
absl::StatusOr<TestProgram> decode() {
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(result.program, decoder::program());
  for (int64_t step = 0; step < decoder::kSteps; ++step) {
    result.calls.calls.push_back(call_of("decode", decoder::inputs(step)));
  }
  result.repeats = true;
  return result;
}

constexpr int64_t kFeatures = 24, kHidden = 40, kClasses = 6;

struct Net : nn::Module {
  Net() : fc1(kFeatures, kHidden), fc2(kHidden, kHidden), fc3(kHidden, kClasses) {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
  }
  Value forward(Value x) override { return fc3.forward(relu(fc2.forward(relu(fc1.forward(x))))); }
  nn::Linear fc1, fc2, fc3;
};

training::TrainProgramOptions net_options(int64_t batch) {
  training::TrainProgramOptions options;
  options.inputs = {{"x", {DType::kF32, {batch, kFeatures}}}};
  options.targets = {{"labels", {DType::kI64, {batch}}}};
  options.loss = classify_loss;
  return options;
}
std::vector<Tensor> net_inputs(int64_t batch, const std::string& stream) {
  return {reals({batch, kFeatures}, stream), numbers({batch}, kClasses, stream), rate(1e-2F)};
}

absl::StatusOr<TestProgram> data_parallel() {
  constexpr int64_t kBatch = 8;
  Net net;
  training::TrainProgramOptions options = net_options(kBatch);
  options.data_parallel = training::DataParallel{4096};
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(
      result.program, training::make_train_program(net, training::Adam({.lr = 1e-2}), options));
  result.calls.ranks = 2;
  for (int step = 0; step < 3; ++step) {
    result.calls.calls.push_back({kTrainEntry,
                                  {net_inputs(kBatch, absl::StrCat("first", step)),
                                   net_inputs(kBatch, absl::StrCat("second", step))}});
  }
  return result;
}

// One step of five overflows.
absl::StatusOr<TestProgram> mixed_f16() {
  constexpr int64_t kBatch = 16;
  Net net;
  training::TrainProgramOptions options = net_options(kBatch);
  options.mixed_precision = training::MixedPrecision{.initial_scale = 1024};
  options.mixed_precision->scaling.growth_interval = 4;
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(
      result.program, training::make_train_program(net, training::Adam({.lr = 1e-2}), options));
  MODELLIB_ASSIGN_OR_RETURN(result.options, training::compile_options(options));
  for (int step = 0; step < 5; ++step) {
    std::vector<Tensor> inputs = net_inputs(kBatch, absl::StrCat("step", step));
    if (step == 2) inputs[0].set(5, 1e6);  // no f16
    result.calls.calls.push_back(call_of(kTrainEntry, std::move(inputs)));
  }
  return result;
}

// Training beside a session that reads what is published.
absl::StatusOr<TestProgram> sharing() {
  constexpr int64_t kBatch = 8;
  Net net;
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(
      result.program,
      training::make_train_program(net, training::SGD({.lr = 0.01}), net_options(kBatch)));
  for (int step = 0; step < 3; ++step) {
    const std::vector<Tensor> inputs = net_inputs(kBatch, absl::StrCat("step", step));
    ProgramCalls::Call reads = call_of(kEvalEntry, {inputs[0]});
    result.calls.calls.push_back(call_of(kTrainEntry, inputs));
    result.calls.calls.push_back(reads);
    reads.published = true;
    result.calls.calls.push_back(std::move(reads));
  }
  return result;
}

// A free batch: as a number, or with a bound.
absl::StatusOr<TestProgram> free_batch(bool bounded) {
  GraphBuilder b(builtin_ops(), "mlp");
  const Value x = b.input("x", {DType::kF32, {Dim::symbol("batch"), 20}});
  const Value h = relu(linear(x, b.constant(reals({32, 20}, "w1"))));
  b.output("y", linear(h, b.constant(reals({5, 32}, "w2"))));
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, b.build());
  result.program = Program{{{"main", graph}}};
  result.options.dims["batch"] = bounded ? DimRange{1, 16} : DimRange{8, 8};
  for (const int64_t n : bounded ? std::vector<int64_t>{8, 1, 16, 3} : std::vector<int64_t>{8}) {
    result.calls.calls.push_back(call_of("main", {reals({n, 20}, absl::StrCat("x", n))}));
  }
  result.repeats = true;
  return result;
}

// A recurrent network over sequences of any length, with its gradient.
absl::StatusOr<GraphRef> recurrent() {
  GraphBuilder b(builtin_ops(), "recurrent");
  const Dim length = Dim::symbol("length"), batch = Dim::symbol("batch");
  const Value x = b.input("x", {DType::kF32, {length, batch, 4}});
  const Value h = b.input("h", {DType::kF32, {batch, 5}});
  const Value w = b.input("w", {DType::kF32, {4, 5}}), u = b.input("u", {DType::kF32, {5, 5}});
  const ScanValues r =
      scan(b, length, {h}, {x},
           [&](GraphBuilder&, Value, absl::Span<const Value> carries, absl::Span<const Value> xs) {
             const Value next = tanh(matmul(xs[0], w) + matmul(carries[0], u));
             return ScanValues{{next}, {next}};
           });
  const Value loss = reduce_sum(r.ys[0] * r.ys[0]);
  const std::vector<Value> g = gradients(b, loss, {x, h, w, u});
  b.output("loss", loss);
  for (size_t i = 0; i < g.size(); ++i) b.output(absl::StrCat("g", i), g[i]);
  return b.build();
}

// As many trips as the data says; then one branch or the other, one of which holds a loop.
absl::StatusOr<GraphRef> decisions() {
  using Values = std::vector<Value>;
  GraphBuilder b(builtin_ops(), "decisions");
  const Value x = b.input("x", {DType::kF32, {6, 4}}), limit = b.input("limit", {DType::kF32, {}});
  const Values grown = while_loop(
      b, {x, b.scalar(0, DType::kI64)},
      [&](GraphBuilder&, absl::Span<const Value> c) { return less(reduce_sum(abs(c[0])), limit); },
      [&](GraphBuilder& g, absl::Span<const Value> c) {
        return Values{c[0] * 1.5, c[1] + g.scalar(1, DType::kI64)};
      });
  const Value taken = cond(
      b, greater(grown[1], b.scalar(3, DType::kI64)),
      [&](GraphBuilder& g) {
        return scan(g, 6, {full(x, {4}, 0)}, {grown[0]},
                    [](GraphBuilder&, Value, absl::Span<const Value> c, absl::Span<const Value> s) {
                      return ScanValues{{tanh(c[0] + s[0])}, {}};
                    })
            .carries;
      },
      [&](GraphBuilder&) { return Values{squeeze(slice_axis(x, 0, 0, 1), {0})}; })[0];
  b.output("trips", grown[1]);
  b.output("y", taken);
  return b.build();
}

absl::StatusOr<TestProgram> control_flow() {
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef first, recurrent());
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef second, decisions());
  result.program = Program{{{"recurrent", first}, {"decisions", second}}};
  result.options.dims = {{"length", {0, 9}}, {"batch", {1, 4}}};
  for (const auto& [n, rows] : std::vector<std::pair<int64_t, int64_t>>{{9, 4}, {3, 1}, {0, 2}}) {
    result.calls.calls.push_back(call_of(
        "recurrent",
        {reals({n, rows, 4}, "x"), reals({rows, 5}, "h"), reals({4, 5}, "w"), reals({5, 5}, "u")}));
    result.calls.calls.push_back(
        call_of("decisions", {reals({6, 4}, "d"), rate(static_cast<float>(20 * n))}));
  }
  result.repeats = true;
  return result;
}

absl::StatusOr<TestProgram> train_step(nn::Module& model, const training::Optimizer& optimizer,
                                       const training::TrainProgramOptions& options,
                                       std::vector<Tensor> inputs) {
  TestProgram result;
  MODELLIB_ASSIGN_OR_RETURN(result.program,
                            training::make_train_program(model, optimizer, options));
  inputs.push_back(rate(1e-3F));
  result.calls.calls.push_back(call_of(kTrainEntry, std::move(inputs)));
  return result;
}

absl::StatusOr<TestProgram> bert(const language::BertOptions& bert, int64_t batch, int64_t length) {
  language::BertClassifier model(2, bert);
  training::TrainProgramOptions options;
  options.inputs = {{"ids", {DType::kI64, {batch, length}}},
                    {"segments", {DType::kI64, {batch, length}}}};
  options.targets = {{"labels", {DType::kI64, {batch}}}};
  options.forward = [&model](nn::Module&, absl::Span<const Value> in) {
    return model.forward(in[0], {.token_type_ids = in[1], .attention_mask = {}});
  };
  options.loss = classify_loss;
  return train_step(model, training::AdamW(), options,
                    {numbers({batch, length}, bert.vocab_size, "ids"),
                     numbers({batch, length}, 2, "segments"), numbers({batch}, 2, "labels")});
}

absl::StatusOr<TestProgram> gpt2(const language::GptOptions& gpt, int64_t batch, int64_t length) {
  language::GPT model(gpt);
  training::TrainProgramOptions options;
  options.inputs = {{"ids", {DType::kI64, {batch, length}}}};
  options.targets = {{"next", {DType::kI64, {batch, length}}}};
  options.loss = [](Value logits, absl::Span<const Value> targets) {
    return cross_entropy(flatten(logits, 0, 1), flatten(targets[0]));
  };
  return train_step(model, training::AdamW(), options,
                    {numbers({batch, length}, gpt.vocab_size, "ids"),
                     numbers({batch, length}, gpt.vocab_size, "next")});
}

absl::StatusOr<TestProgram> resnet50() {
  vision::ResNet model = vision::ResNet::resnet50();
  training::TrainProgramOptions options;
  options.inputs = {{"images", {DType::kF32, {1, 3, 224, 224}}}};
  options.targets = {{"labels", {DType::kI64, {1}}}};
  options.loss = classify_loss;
  return train_step(model, training::SGD({.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-4}),
                    options, {reals({1, 3, 224, 224}, "images"), numbers({1}, 1000, "labels")});
}

// Steps of two lanes that compute, and one that copies.
const Backend* lanes() {
  static const auto* const backend = new FakeDeviceBackend(1);
  return backend;
}

}  // namespace

std::vector<TestProgramCase> test_programs() {
  std::vector<TestProgramCase> all;
  for (const std::string& name : golden_trainings()) {
    all.push_back({name, [name] { return golden(name, nullptr); }});
    all.push_back({"lanes_" + name, [name] { return golden(name, lanes()); }});
  }
  all.push_back({"mnist", mnist});
  all.push_back({"mnist_frozen", mnist_frozen});
  all.push_back({"decode", decode});
  all.push_back({"data_parallel", data_parallel});
  all.push_back({"mixed_f16", mixed_f16});
  all.push_back({"sharing", sharing});
  all.push_back({"bound", [] { return free_batch(false); }});
  all.push_back({"bounded", [] { return free_batch(true); }});
  all.push_back({"control_flow", control_flow});
  all.push_back({"bert", [] {
                   return bert({.vocab_size = 50,
                                .hidden_size = 32,
                                .num_hidden_layers = 2,
                                .num_attention_heads = 2,
                                .intermediate_size = 64,
                                .max_position_embeddings = 16},
                               2, 12);
                 }});
  all.push_back(
      {"gpt2", [] {
         return gpt2({.vocab_size = 50, .n_positions = 16, .n_embd = 32, .n_layer = 2, .n_head = 2},
                     2, 12);
       }});
  return all;
}

std::vector<TestProgramCase> large_test_programs() {
  return {{"resnet50", resnet50},
          {"bert_base", [] { return bert({}, 1, 32); }},
          {"gpt2_small", [] { return gpt2({}, 1, 32); }}};
}

absl::StatusOr<CompileResult> compile_test_program(const TestProgram& program) {
  return compile(program.program, builtin_ops(),
                 program.backend == nullptr ? cpu::cpu_backend() : *program.backend,
                 program.options);
}

}  // namespace modellib
