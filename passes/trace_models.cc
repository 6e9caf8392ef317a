#include "modellib/passes/trace_models.h"

#include <string>
#include <utility>
#include <vector>

namespace modellib {
namespace {

constexpr int64_t kFloat = 4;

// Records forward operations, then walks them in reverse.
class Tape {
 public:
  // Activations are buffers.
  int input(int64_t bytes) {
    const int b = buffer("input", bytes, -1);
    problem_.buffers[b].persistent = true;
    return b;
  }

  // y = f(x, weight): a convolution or a matrix product. Backward reads x for the weight, and the
  // weight.
  int weighted(const std::string& name, int x, int64_t weight_bytes, int64_t bytes,
               int64_t workspace = 0) {
    const int y = emit(name, {x}, bytes, workspace);
    tape_.push_back({Kind::kWeighted, name, {x}, y, weight_bytes, workspace});
    return y;
  }
  // Shape-preserving functions of one activation; what backward reads is the difference.
  int normalise(const std::string& name, int x, int64_t weight_bytes) {
    const int y = emit(name, {x}, size(x), 0);
    tape_.push_back({Kind::kReadsInput, name, {x}, y, weight_bytes, 0});
    return y;
  }
  int from_input(const std::string& name, int x) { return normalise(name, x, 0); }
  int from_output(const std::string& name, int x) {
    const int y = emit(name, {x}, size(x), 0);
    problem_.buffers[y].in_place_of = x;
    tape_.push_back({Kind::kReadsOutput, name, {x}, y, 0, 0});
    return y;
  }
  int add(const std::string& name, int a, int b) {
    const int y = emit(name, {a, b}, size(a), 0);
    problem_.buffers[y].in_place_of = a;
    tape_.push_back({Kind::kAdd, name, {a, b}, y, 0, 0});
    return y;
  }
  // A product of two activations, or a pooling; backward reads its inputs.
  int product(const std::string& name, std::vector<int> inputs, int64_t bytes) {
    const int y = emit(name, inputs, bytes, 0);
    tape_.push_back({Kind::kProduct, name, std::move(inputs), y, 0, 0});
    return y;
  }
  // Equal parts, as views; their gradients are slots of the whole's.
  std::vector<int> split(int x, int parts) {
    std::vector<int> result;
    const int64_t bytes = size(x) / parts;
    for (int i = 0; i < parts; ++i) {
      const int v = buffer("part", bytes, -1);
      problem_.buffers[v].alias_of = x;
      problem_.buffers[v].alias_offset = i * bytes;
      result.push_back(v);
    }
    tape_.push_back({Kind::kSplit, "split", result, x, 0, 0});
    return result;
  }

  ScheduleProblem inference(int y) {
    problem_.buffers[y].output = true;
    return std::move(problem_);
  }

  ScheduleProblem training(int y) {
    const int loss = emit("loss", {y}, kFloat, 0);
    problem_.buffers[loss].output = true;
    gradient_.assign(problem_.buffers.size(), -1);
    gradient_[y] = emit("loss.grad", {y}, size(y), 0);
    for (size_t i = tape_.size(); i-- > 0;) back(tape_[i]);
    for (int dw : weight_gradients_) emit("update", {dw}, 0, 0);
    return std::move(problem_);
  }

 private:
  enum class Kind { kWeighted, kReadsInput, kReadsOutput, kAdd, kProduct, kSplit };
  struct Op {
    Kind kind;
    std::string name;
    std::vector<int> inputs;
    int output;
    int64_t weight_bytes;
    int64_t workspace;
  };

  int64_t size(int b) const { return problem_.buffers[b].size; }
  bool wants_gradient(int b) const { return !problem_.buffers[b].persistent; }

  int buffer(const std::string& name, int64_t bytes, int producer) {
    ScheduleBuffer& b = problem_.buffers.emplace_back();
    b.size = bytes;
    b.producer = producer;
    b.name = name;
    return static_cast<int>(problem_.buffers.size()) - 1;
  }
  int emit(const std::string& name, const std::vector<int>& reads, int64_t bytes,
           int64_t workspace) {
    const int node = static_cast<int>(problem_.nodes.size());
    problem_.nodes.push_back({workspace, 0});
    for (int b : reads) problem_.buffers[b].consumers.push_back(node);
    return buffer(name, bytes, node);
  }
  void flow(int to, int gradient) {
    if (!wants_gradient(to)) return;
    if (gradient_[to] < 0) {
      gradient_[to] = gradient;
      return;
    }
    const int sum = emit("sum", {gradient_[to], gradient}, size(to), 0);
    problem_.buffers[sum].in_place_of = gradient_[to];
    gradient_[to] = sum;
  }
  void back(const Op& op) {
    if (op.kind == Kind::kSplit) {
      // The parts' gradients were written apart: tie them to one buffer, completed by a free step.
      std::vector<int> parts;
      for (int part : op.inputs) parts.push_back(gradient_[part]);
      const int whole = emit("join", parts, size(op.output), 0);
      for (size_t i = 0; i < parts.size(); ++i) {
        problem_.buffers[parts[i]].alias_of = whole;
        problem_.buffers[parts[i]].alias_offset = static_cast<int64_t>(i) * size(op.inputs[i]);
        problem_.buffers[parts[i]].in_place_of = -1;
      }
      flow(op.output, whole);
      return;
    }
    const int dy = gradient_[op.output];
    const int x = op.inputs[0];
    switch (op.kind) {
      case Kind::kWeighted:
        weight_gradients_.push_back(emit(op.name + ".dw", {x, dy}, op.weight_bytes, op.workspace));
        if (wants_gradient(x)) flow(x, emit(op.name + ".dx", {dy}, size(x), op.workspace));
        break;
      case Kind::kReadsInput:
      case Kind::kReadsOutput: {
        const bool input = op.kind == Kind::kReadsInput;
        if (op.weight_bytes > 0) {
          weight_gradients_.push_back(emit(op.name + ".dw", {x, dy}, op.weight_bytes, 0));
        }
        const int dx = emit(op.name + ".dx", {input ? x : op.output, dy}, size(x), 0);
        problem_.buffers[dx].in_place_of = dy;
        flow(x, dx);
        break;
      }
      case Kind::kAdd:
        flow(op.inputs[0], dy);
        flow(op.inputs[1], dy);
        break;
      case Kind::kProduct:
        for (size_t i = 0; i < op.inputs.size(); ++i) {
          std::vector<int> reads = {dy};
          if (op.inputs.size() == 1) reads.push_back(op.output);
          for (size_t j = 0; j < op.inputs.size(); ++j) {
            if (j != i || op.inputs.size() == 1) reads.push_back(op.inputs[j]);
          }
          flow(op.inputs[i], emit(op.name + ".dx", reads, size(op.inputs[i]), 0));
        }
        break;
      case Kind::kSplit:
        break;
    }
  }

  ScheduleProblem problem_;
  std::vector<Op> tape_;
  std::vector<int> gradient_;  // by forward buffer
  std::vector<int> weight_gradients_;
};

int resnet50(Tape* tape, int64_t batch) {
  const auto conv = [&](int x, int64_t in, int64_t out, int64_t kernel, int64_t extent) {
    const int64_t weight = in * out * kernel * kernel * kFloat;
    return tape->weighted("conv", x, weight, batch * out * extent * extent * kFloat,
                          kernel > 1 ? 256 * 1024 : 0);
  };
  const auto norm = [&](int x, int64_t channels) {
    return tape->normalise("norm", x, 2 * channels * kFloat);
  };
  int x = tape->input(batch * 3 * 224 * 224 * kFloat);
  x = tape->from_output("relu", norm(conv(x, 3, 64, 7, 112), 64));
  x = tape->product("maxpool", {x}, batch * 64 * 56 * 56 * kFloat);
  int64_t in = 64;
  int64_t extent = 56;
  const int blocks[4] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const int64_t width = int64_t{64} << stage;
    for (int block = 0; block < blocks[stage]; ++block) {
      const int64_t wide = extent;
      if (stage > 0 && block == 0) extent /= 2;
      int y = tape->from_output("relu", norm(conv(x, in, width, 1, wide), width));
      y = tape->from_output("relu", norm(conv(y, width, width, 3, extent), width));
      y = norm(conv(y, width, 4 * width, 1, extent), 4 * width);
      if (block == 0) x = norm(conv(x, in, 4 * width, 1, extent), 4 * width);
      x = tape->from_output("relu", tape->add("add", y, x));
      in = 4 * width;
    }
  }
  x = tape->product("avgpool", {x}, batch * 2048 * kFloat);
  return tape->weighted("fc", x, 2048 * 1000 * kFloat, batch * 1000 * kFloat);
}

int transformer(Tape* tape, int64_t batch, int64_t seq, bool pre_norm, int64_t vocabulary) {
  constexpr int64_t kWidth = 768;
  constexpr int64_t kHeads = 12;
  const int64_t hidden = batch * seq * kWidth * kFloat;
  const int64_t scores = batch * kHeads * seq * seq * kFloat;
  const auto linear = [&](const char* name, int x, int64_t in, int64_t out) {
    return tape->weighted(name, x, in * out * kFloat, batch * seq * out * kFloat);
  };
  const auto norm = [&](int x) { return tape->normalise("norm", x, 2 * kWidth * kFloat); };
  int x = tape->input(batch * seq * 8);
  x = tape->weighted("embedding", x, (vocabulary > 0 ? vocabulary : 30522) * kWidth * kFloat,
                     hidden);
  if (!pre_norm) x = norm(x);
  for (int layer = 0; layer < 12; ++layer) {
    const int from = pre_norm ? norm(x) : x;
    const std::vector<int> qkv = tape->split(linear("qkv", from, kWidth, 3 * kWidth), 3);
    int a = tape->product("scores", {qkv[0], qkv[1]}, scores);
    a = tape->from_output("softmax", a);
    a = tape->product("context", {a, qkv[2]}, hidden);
    x = tape->add("add", linear("out", a, kWidth, kWidth), x);
    if (!pre_norm) x = norm(x);
    int f = linear("up", pre_norm ? norm(x) : x, kWidth, 4 * kWidth);
    f = tape->from_input("gelu", f);
    x = tape->add("add", linear("down", f, 4 * kWidth, kWidth), x);
    if (!pre_norm) x = norm(x);
  }
  if (pre_norm) x = norm(x);
  return vocabulary > 0
             ? linear("logits", x, kWidth, vocabulary)
             : tape->weighted("pooler", x, kWidth * kWidth * kFloat, batch * kWidth * kFloat);
}

}  // namespace

ScheduleProblem make_trace(TraceModel model, const TraceOptions& options) {
  Tape tape;
  int y = -1;
  switch (model) {
    case TraceModel::kResNet50:
      y = resnet50(&tape, options.batch);
      break;
    case TraceModel::kBertBase:
      y = transformer(&tape, options.batch, options.sequence, false, 0);
      break;
    case TraceModel::kGpt2:
      y = transformer(&tape, options.batch, options.sequence, true, 50257);
      break;
  }
  return options.training ? tape.training(y) : tape.inference(y);
}

}  // namespace modellib
