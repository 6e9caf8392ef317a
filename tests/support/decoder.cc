#include "modellib/tests/support/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "modellib/graph/status_macros.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/embedding.h"
#include "modellib/ops/index.h"
#include "modellib/ops/linear.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"

namespace modellib::decoder {
namespace {

// The step at which each row begins.
constexpr int64_t kBegin[kBatch] = {0, 5, 23};

Variable weight(const std::string& name, Shape shape) { return {name, {DType::kF32, shape}}; }

absl::StatusOr<GraphRef> decode_graph() {
  GraphBuilder b(builtin_ops(), "decode");
  const Value tokens = b.input("tokens", {DType::kI64, {kBatch, 1}});
  const Value positions = b.input("positions", {DType::kI64, {kBatch}});
  const Layer layer(b);
  const TensorType cache = {DType::kF32, {kBatch, kHeads, kCapacity, kSize}};
  const Variable keys = {"cache.keys", cache, Variable::Kind::kSession};
  const Variable values = {"cache.values", cache, Variable::Kind::kSession};
  const Value x = embedding(layer.table, tokens);
  const Value places = reshape(positions, {kBatch, 1});
  const Value k = rotary_embedding(layer.heads_of(x, layer.k, 1), places);
  b.assign(keys, update_slice(b.variable(keys), k, positions, 2));
  b.assign(values, update_slice(b.variable(values), layer.heads_of(x, layer.v, 1), positions, 2));
  const Value q = rotary_embedding(layer.heads_of(x, layer.q, 1), places);
  AttentionOperands operands;
  operands.lengths = positions + b.scalar(1, DType::kI64);
  b.output("logits",
           layer.logits(attention(q, b.variable(keys), b.variable(values), {}, operands), 1));
  return b.build();
}

}  // namespace

Layer::Layer(GraphBuilder& b)
    : table(b.variable(weight("table", {kVocabulary, kModel}))),
      q(b.variable(weight("q", {kModel, kModel}))),
      k(b.variable(weight("k", {kModel, kModel}))),
      v(b.variable(weight("v", {kModel, kModel}))),
      head(b.variable(weight("head", {kVocabulary, kModel}))) {}

Value Layer::heads_of(Value x, Value w, int64_t n) const {
  return transpose(reshape(linear(x, w), {kBatch, n, kHeads, kSize}), {0, 2, 1, 3});
}

Value Layer::logits(Value attended, int64_t n) const {
  return linear(reshape(transpose(attended, {0, 2, 1, 3}), {kBatch, n, kModel}), head);
}

std::map<std::string, Tensor> weights() {
  std::map<std::string, Tensor> result;
  double phase = 0.3;
  for (const auto& [name, rows] : std::map<std::string, int64_t>{{"table", kVocabulary},
                                                                 {"q", kModel},
                                                                 {"k", kModel},
                                                                 {"v", kModel},
                                                                 {"head", kVocabulary}}) {
    Tensor t = *Tensor::zeros(DType::kF32, {rows, kModel});
    for (int64_t i = 0; i < t.elements(); ++i) {
      t.set(i, 0.6 * std::sin(phase * (static_cast<double>(i) + 1.0)));
    }
    phase += 0.21;
    result[name] = t;
  }
  return result;
}

int64_t token(int64_t row, int64_t position) {
  return (position * position + 7 * row + position) % kVocabulary;
}

int64_t position_of(int64_t row, int64_t step) { return std::max<int64_t>(0, step - kBegin[row]); }

std::vector<Tensor> inputs(int64_t step) {
  Tensor tokens = *Tensor::zeros(DType::kI64, {kBatch, 1});
  Tensor positions = *Tensor::zeros(DType::kI64, {kBatch});
  for (int64_t row = 0; row < kBatch; ++row) {
    positions.set_int(row, position_of(row, step));
    tokens.set_int(row, token(row, position_of(row, step)));
  }
  return {tokens, positions};
}

absl::StatusOr<Program> program() {
  GraphBuilder b(builtin_ops(), kInitializeEntry);
  b.input("seed", {DType::kI64, {}});
  for (const auto& [name, value] : weights()) {
    b.assign(weight(name, {value.shape()[0], value.shape()[1]}), b.constant(value));
  }
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef initialize, b.build());
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef decode, decode_graph());
  return Program{{{std::string(kInitializeEntry), initialize}, {"decode", decode}}};
}

}  // namespace modellib::decoder
