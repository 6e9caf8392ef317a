#include "modellib/ops/recurrent.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

// Operands: x, `States` states, w_ih, w_hh, b_ih?, b_hh?. The results are like the states.
template <int Gates, int States>
absl::Status infer_cell(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(require_real(c, 0));
  for (int i = 0; i < 5 + States; ++i) {
    if (!c.has(i)) continue;
    MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, i));
    MODELLIB_RETURN_IF_ERROR(require_rank(c, i, i < 3 + States ? 2 : 1));
  }
  const Dim batch = c.input(0).shape[0], features = c.input(0).shape[1],
            hidden = c.input(1).shape[1];
  if (!hidden.is_static()) {
    return absl::InvalidArgumentError("the size of the hidden state must be known ahead");
  }
  for (int i = 1; i <= States; ++i) {
    MODELLIB_RETURN_IF_ERROR(require_shape(c, i, {batch, hidden}, "a state"));
  }
  const Dim rows = Dim(Gates) * hidden;
  MODELLIB_RETURN_IF_ERROR(require_shape(c, States + 1, {rows, features}, "w_ih"));
  MODELLIB_RETURN_IF_ERROR(require_shape(c, States + 2, {rows, hidden}, "w_hh"));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, States + 3, rows, "b_ih"));
  MODELLIB_RETURN_IF_ERROR(require_vector(c, States + 4, rows, "b_hh"));
  for (int i = 1; i <= States; ++i) c.outputs.push_back(c.input(i));
  return absl::OkStatus();
}

// w x + b for the weight and bias of these operands, in the type of the sums.
Value product(const OpCall& c, Value x, int weight, int bias) {
  const Value y = widened(matmul(x, c.in(weight), {.transpose_b = true}));
  return c.has(bias) ? y + as_dtype(c.in(bias), y.dtype()) : y;
}

std::vector<Value> decompose_lstm(OpCall& c) {
  const std::vector<Value> gates =
      chunk(product(c, c.in(0), 3, 5) + product(c, c.in(1), 4, 6), 4, 1);
  const Value i = sigmoid(gates[0]), f = sigmoid(gates[1]), g = tanh(gates[2]),
              o = sigmoid(gates[3]);
  const Value cell = f * widened(c.in(2)) + i * g;
  const DType dtype = c.in(0).dtype();
  return {as_dtype(o * tanh(cell), dtype), as_dtype(cell, dtype)};
}

std::vector<Value> decompose_gru(OpCall& c) {
  const std::vector<Value> from_x = chunk(product(c, c.in(0), 2, 4), 3, 1);
  const std::vector<Value> from_h = chunk(product(c, c.in(1), 3, 5), 3, 1);
  const Value r = sigmoid(from_x[0] + from_h[0]);
  const Value z = sigmoid(from_x[1] + from_h[1]);
  const Value n = tanh(from_x[2] + r * from_h[2]);
  return {as_dtype(n + z * (widened(c.in(1)) - n), c.in(0).dtype())};
}

absl::Status infer_rnn(InferenceContext& c) {
  const std::string& f = c.attributes.as<RnnCellAttributes>().nonlinearity;
  if (f != "tanh" && f != "relu") {
    return absl::InvalidArgumentError(
        absl::StrCat("nonlinearity must be \"tanh\" or \"relu\", is \"", f, "\""));
  }
  return infer_cell<1, 1>(c);
}

std::vector<Value> decompose_rnn(OpCall& c) {
  const Value sum = product(c, c.in(0), 2, 4) + product(c, c.in(1), 3, 5);
  const bool is_tanh = c.attributes.as<RnnCellAttributes>().nonlinearity == "tanh";
  return {as_dtype(is_tanh ? tanh(sum) : relu(sum), c.in(0).dtype())};
}

template <int Gates, int States>
std::vector<OpSample> samples() {
  const auto sample = [](const char* name, DType dtype, Dim batch, bool bias, double tolerance) {
    constexpr int64_t kFeatures = 3, kHidden = 4;
    OpSample s;
    s.name = name;
    s.inputs = {{dtype, {batch, kFeatures}}};
    for (int i = 0; i < States; ++i) s.inputs.push_back({dtype, {batch, kHidden}});
    s.inputs.push_back({dtype, {Gates * kHidden, kFeatures}});
    s.inputs.push_back({dtype, {Gates * kHidden, kHidden}});
    for (int i = 0; bias && i < 2; ++i) s.inputs.push_back({dtype, {Gates * kHidden}});
    s.low = -1, s.high = 1;
    s.tolerance = tolerance;
    return s;
  };
  std::vector<OpSample> samples = {
      sample("bias", DType::kF32, 2, true, 1e-5), sample("no_bias", DType::kF32, 3, false, 1e-5),
      sample("f16", DType::kF16, 2, true, 4e-3),
      sample("symbolic", DType::kF32, Dim::symbol("batch"), true, 1e-5)};
  samples.back().binding = {{"batch", 3}};
  return samples;
}

std::vector<OpSample> rnn_samples() {
  std::vector<OpSample> all = samples<1, 1>();
  for (OpSample& s : all) s.attributes = Attributes::of(RnnCellAttributes{});
  all.push_back(all.front());
  all.back().name = "relu";
  all.back().attributes = Attributes::of(RnnCellAttributes{"relu"});
  return all;
}

}  // namespace

std::vector<OpDef> recurrent_ops() {
  OpDef rnn = composite("rnn_cell", 4, 6, infer_rnn, decompose_rnn, rnn_samples);
  rnn.attributes = AttributesSchema::of<RnnCellAttributes>();
  return {composite("lstm_cell", 5, 7, infer_cell<4, 2>, decompose_lstm, samples<4, 2>),
          composite("gru_cell", 4, 6, infer_cell<3, 1>, decompose_gru, samples<3, 1>), rnn};
}

LstmState lstm_cell(Value x, LstmState state, const RecurrentWeights& w) {
  const std::vector<Value> next =
      emit_outputs("lstm_cell", 2, {x, state.h, state.c, w.w_ih, w.w_hh, w.b_ih, w.b_hh});
  return {next[0], next[1]};
}
Value gru_cell(Value x, Value h, const RecurrentWeights& w) {
  return emit_op_one("gru_cell", {x, h, w.w_ih, w.w_hh, w.b_ih, w.b_hh});
}
Value rnn_cell(Value x, Value h, const RecurrentWeights& w, RnnCellAttributes attributes) {
  return emit_op_one("rnn_cell", {x, h, w.w_ih, w.w_hh, w.b_ih, w.b_hh},
                     Attributes::of(std::move(attributes)));
}

}  // namespace modellib
