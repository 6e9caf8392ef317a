// Peak memory of a BERT-base training step (AdamW), measured as bench/peers/bert_memory_torch.py
// measures PyTorch's.
//
//   bazel run //bench:bert_memory -- [--batch 4] [--seq 128] [--steps 3] [--threads 2] [--dropout
//   0.1]
//
// Printed, in MiB of 2^20 bytes:
//   start-up   resident when main begins
//   weights    all parameters
//   slots      AdamW's two moments
//   arena      what the plan of the step asks for, and its lower bound
//   peak       VmHWM of the process, after all steps; compiling is part of the process
//   net peak   peak - start-up - weights - slots: gradients, activations, workspace, all overheads
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/models/language/bert.h"
#include "modellib/frontends/training/training.h"
#include "modellib/graph/philox.h"

namespace modellib {
namespace {

constexpr double kMib = 1 << 20;

struct Options {
  int64_t batch = 4, seq = 128, steps = 3;
  int threads = 2;
  double dropout = 0.1;
};

// "VmHWM" or "VmRSS".
double status_mib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, key.size() + 1, key + ":") == 0) {
      return std::strtod(line.c_str() + key.size() + 1, nullptr) / 1024;
    }
  }
  return 0;
}

// i64 from 0 to n - 1, of the given shape.
Tensor random_ids(const std::vector<int64_t>& shape, int64_t n, uint64_t stream) {
  Tensor t = *Tensor::zeros(DType::kI64, shape);
  for (int64_t i = 0; i < t.elements(); ++i) {
    const uint64_t bits = philox_bits(/*key=*/1, stream, static_cast<uint64_t>(i));
    t.set_int(i, static_cast<int64_t>(bits % static_cast<uint64_t>(n)));
  }
  return t;
}

absl::Status run(const Options& o) {
  const double start_up = status_mib("VmRSS");
  language::BertOptions config;
  config.hidden_dropout_prob = config.attention_probs_dropout_prob = o.dropout;
  language::BertClassifier model(2, config);
  const training::AdamW optimizer({.lr = 1e-4, .weight_decay = 0.01});
  training::TrainProgramOptions step;
  step.inputs = {{"ids", {DType::kI64, {o.batch, o.seq}}},
                 {"segments", {DType::kI64, {o.batch, o.seq}}}};
  step.targets = {{"labels", {DType::kI64, {o.batch}}}};
  step.forward = [&model](nn::Module&, absl::Span<const Value> in) {
    return model.forward(in[0], {.token_type_ids = in[1], .attention_mask = {}});
  };
  step.loss = training::CrossEntropyLoss{};
  absl::StatusOr<Program> program = training::make_train_program(model, optimizer, step);
  if (!program.ok()) return program.status();
  // PyTorch's step does not evaluate either.
  program->entries.pop_back();
  training::EngineOptions engine_options;
  engine_options.threads = o.threads;
  const auto engine = training::Engine::create(*program, engine_options);
  if (!engine.ok()) return engine.status();
  const double compiled = status_mib("VmHWM");
  const absl::StatusOr<runtime::EntryId> train = (*engine)->entry(training::kTrainEntry);
  if (!train.ok()) return train.status();

  const Tensor rate = Tensor::scalar(1e-4f);
  for (int64_t i = 0; i < o.steps; ++i) {
    const auto stream = static_cast<uint64_t>(3 * i);
    const Tensor ids = random_ids({o.batch, o.seq}, config.vocab_size, stream);
    const Tensor segments = random_ids({o.batch, o.seq}, config.type_vocab_size, stream + 1);
    const Tensor labels = random_ids({o.batch}, 2, stream + 2);
    const absl::Status ran = (*engine)->run(*train, {ids, segments, labels, rate});
    if (!ran.ok()) return ran;
    std::printf("step %d: loss %.4f, peak so far %.0f\n", static_cast<int>(i),
                (*engine)->scalar(*train, 0), status_mib("VmHWM"));
  }

  double weights = 0;
  for (const nn::Parameter& p : model.parameters()) {
    int64_t count = 1;
    for (int64_t extent : p.shape()) count *= extent;
    weights += 4.0 * static_cast<double>(count) / kMib;
  }
  for (const auto& entry : (*engine)->compiled().lowered.plan.entries) {
    std::printf("arena of %s: %.1f, lower bound %.1f\n", entry->name.c_str(),
                static_cast<double>(entry->planned_bytes) / kMib,
                static_cast<double>(entry->lower_bound_bytes) / kMib);
  }
  const double peak = status_mib("VmHWM");
  std::printf(
      "start-up %.0f, peak when ready %.0f, weights %.0f, slots %.0f, peak %.0f, net peak %.0f "
      "MiB\n",
      start_up, compiled, weights, 2 * weights, peak, peak - start_up - 3 * weights);
  return absl::OkStatus();
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  modellib::Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--batch") {
      options.batch = std::atoll(value);
    } else if (name == "--seq") {
      options.seq = std::atoll(value);
    } else if (name == "--steps") {
      options.steps = std::atoll(value);
    } else if (name == "--threads") {
      options.threads = std::atoi(value);
    } else if (name == "--dropout") {
      options.dropout = std::atof(value);
    } else {
      std::fprintf(stderr,
                   "usage: bert_memory [--batch N] [--seq N] [--steps N] [--threads N] "
                   "[--dropout P]\n");
      return 2;
    }
  }
  const absl::Status status = modellib::run(options);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
