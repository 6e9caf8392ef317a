// LSTM, GRU and RNN over sequences: cells in a scan, one for each direction.
//
// x [steps, batch, features], W [directions, gates · hidden, features], R [directions, gates ·
// hidden, hidden], B [directions, 2 gates · hidden]. ONNX orders the gates of an LSTM i, o, f, c
// and those of a GRU z, r, h; our cells, as PyTorch, i, f, c, o and r, z, h.
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/control.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/recurrent.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

struct Cell {
  absl::string_view op;
  int64_t gates;
  int states;              // h, and c of an LSTM
  std::vector<int> order;  // ours[i] is ONNX's order[i]
};

// One direction's operands, gates in our order.
struct Direction {
  RecurrentWeights weights;
  Values states;
  bool reverse = false;
};

Value row(Value x, int64_t i) { return squeeze(slice_axis(x, 0, i, i + 1), {0}); }

Value reordered(Value x, const Cell& cell, int64_t hidden) {
  Values parts;
  for (int gate : cell.order) parts.push_back(slice_axis(x, 0, gate * hidden, (gate + 1) * hidden));
  return parts.size() == 1 ? x : concat(parts, 0);
}

bool is_rectified(NodeView& n, const Cell& cell) {
  const std::vector<std::string> given = n.texts("activations");
  return cell.op == "RNN" && !given.empty() &&
         absl::c_all_of(given, [](const std::string& name) { return name == "Relu"; });
}

absl::Status check_activations(NodeView& n, const Cell& cell, int64_t directions) {
  std::vector<std::string> expected;
  for (int64_t d = 0; d < directions; ++d) {
    if (cell.op == "RNN") {
      expected.emplace_back(is_rectified(n, cell) ? "Relu" : "Tanh");
    } else {
      expected.insert(expected.end(), {"Sigmoid", "Tanh"});
      if (cell.op == "LSTM") expected.emplace_back("Tanh");
    }
  }
  const std::vector<std::string> given = n.texts("activations");
  if (!given.empty() && given != expected) {
    return absl::UnimplementedError("other activations than the standard's");
  }
  if (n.has_attribute("clip")) return absl::UnimplementedError("clip");
  if (n.flag("input_forget", false)) return absl::UnimplementedError("input_forget");
  return absl::OkStatus();
}

// Lengths of sequences that are all of the steps there are say nothing.
bool have_all_steps(NodeView& n, int lengths, const Dim& steps) {
  const auto known = n.known_dims(lengths);
  return known.ok() && absl::c_all_of(*known, [&](const Dim& length) { return length == steps; });
}

// A GRU whose reset comes before the product with the state.
Value gru_reset_before(Value x, Value h, const RecurrentWeights& w, int64_t hidden) {
  const auto part = [&](Value v, int64_t from, int64_t to) {
    return slice_axis(v, 0, from * hidden, to * hidden);
  };
  const auto product = [](Value a, Value b) { return matmul(a, b, {.transpose_b = true}); };
  Value from_x = product(x, w.w_ih);
  if (!w.b_ih.is_null()) from_x = from_x + w.b_ih;
  Value gates = product(h, part(w.w_hh, 0, 2));
  if (!w.b_hh.is_null()) gates = gates + part(w.b_hh, 0, 2);
  const Value rz = sigmoid(slice_axis(from_x, 1, 0, 2 * hidden) + gates);
  const Value r = slice_axis(rz, 1, 0, hidden), z = slice_axis(rz, 1, hidden, 2 * hidden);
  Value candidate =
      slice_axis(from_x, 1, 2 * hidden, 3 * hidden) + product(r * h, part(w.w_hh, 2, 3));
  if (!w.b_hh.is_null()) candidate = candidate + part(w.b_hh, 2, 3);
  const Value c = tanh(candidate);
  return c + z * (h - c);
}

struct Step {
  const Cell& cell;
  int64_t hidden;
  bool reset_after;
  bool rectified;

  Values operator()(Value x, absl::Span<const Value> states, const RecurrentWeights& w) const {
    if (cell.op == "LSTM") {
      const LstmState next = lstm_cell(x, {states[0], states[1]}, w);
      return {next.h, next.c};
    }
    if (cell.op == "RNN") {
      return {rnn_cell(x, states[0], w, {.nonlinearity = rectified ? "relu" : "tanh"})};
    }
    return {reset_after ? gru_cell(x, states[0], w) : gru_reset_before(x, states[0], w, hidden)};
  }
};

// Outputs of one direction: h of each step [steps, batch, hidden], then the last states.
Values run_direction(GraphBuilder& b, Value x, const Direction& d, const Step& step) {
  const Dim steps = x.dim(0);
  if (steps == Dim(1)) {
    Values result = step(squeeze(x, {0}), d.states, d.weights);
    result.insert(result.begin(), unsqueeze(result[0], {0}));
    return result;
  }
  const ScanValues all = scan(b, steps, d.states, {x},
                              [&](GraphBuilder& inner, Value index, absl::Span<const Value> states,
                                  absl::Span<const Value> xs) {
                                RecurrentWeights w = d.weights;
                                for (Value* v : {&w.w_ih, &w.w_hh, &w.b_ih, &w.b_hh})
                                  *v = inner.captured(*v);
                                Values next = step(xs[0], states, w);
                                const Value h = next[0];
                                return ScanValues{std::move(next), {h}};
                              },
                              {.reverse = d.reverse});
  Values result = {all.ys.empty() ? Value() : all.ys[0]};
  result.insert(result.end(), all.carries.begin(), all.carries.end());
  return result;
}

absl::StatusOr<Values> recurrent(NodeView& n, const Cell& cell) {
  Value x = n.in(0);
  const Value w = n.in(1), r = n.in(2);
  if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3) {
    return absl::InvalidArgumentError("X, W and R must have rank 3");
  }
  const std::string direction = n.text("direction", "forward");
  const bool both = direction == "bidirectional";
  if (!both && direction != "forward" && direction != "reverse") {
    return absl::InvalidArgumentError(absl::StrCat("direction '", direction, "'"));
  }
  const int64_t directions = both ? 2 : 1;
  const Dim size = r.dim(2);
  if (!size.is_static() || n.integer("hidden_size", size.value()) != size.value()) {
    return absl::InvalidArgumentError(absl::StrCat("hidden_size is ", n.integer("hidden_size", 0),
                                                   ", R is ", to_string(r.type())));
  }
  if (!(w.dim(0) == Dim(directions)) || !(r.dim(0) == Dim(directions))) {
    return absl::InvalidArgumentError(
        absl::StrCat("W and R must have ", directions, " directions"));
  }
  MODELLIB_RETURN_IF_ERROR(check_activations(n, cell, directions));
  if (n.has(7)) return absl::UnimplementedError("peepholes (P)");
  const int64_t hidden = size.value();
  const bool batch_first = n.integer("layout", 0) == 1;
  if (batch_first) x = transpose(x, {1, 0, 2});
  if (n.has(4) && !have_all_steps(n, 4, x.dim(0))) {
    return absl::UnimplementedError("sequence_lens that are not known to be all steps");
  }
  const Dim batch = x.dim(1);
  const Step step{cell, hidden, n.flag("linear_before_reset", false), is_rectified(n, cell)};

  Values ys;
  std::vector<Values> last(static_cast<size_t>(cell.states));
  for (int64_t d = 0; d < directions; ++d) {
    Direction one;
    one.reverse = d == 1 || direction == "reverse";
    one.weights.w_ih = reordered(row(w, d), cell, hidden);
    one.weights.w_hh = reordered(row(r, d), cell, hidden);
    if (n.has(3)) {
      const Value bias = row(n.in(3), d);
      const int64_t half = cell.gates * hidden;
      one.weights.b_ih = reordered(slice_axis(bias, 0, 0, half), cell, hidden);
      one.weights.b_hh = reordered(slice_axis(bias, 0, half, 2 * half), cell, hidden);
    }
    for (int s = 0; s < cell.states; ++s) {
      Value state = n.in(5 + s);
      if (state.is_null()) {
        state = broadcast_to(number(x, 0), {batch, hidden});
      } else {
        if (batch_first) state = transpose(state, {1, 0, 2});
        state = row(state, d);
      }
      one.states.push_back(state);
    }
    const Values results = run_direction(n.builder(), x, one, step);
    if (results.size() != static_cast<size_t>(cell.states) + 1) return n.builder().status();
    ys.push_back(unsqueeze(results[0], {1}));
    for (size_t s = 0; s < last.size(); ++s) last[s].push_back(unsqueeze(results[s + 1], {0}));
  }
  const auto joined = [](const Values& parts, int64_t axis) {
    return parts.size() == 1 ? parts[0] : concat(parts, axis);
  };
  Values outputs = {joined(ys, 1)};
  for (const Values& parts : last) outputs.push_back(joined(parts, 0));
  if (batch_first) {
    outputs[0] = transpose(outputs[0], {2, 0, 1, 3});
    for (size_t i = 1; i < outputs.size(); ++i) outputs[i] = transpose(outputs[i], {1, 0, 2});
  }
  return outputs;
}

absl::StatusOr<Values> lstm(NodeView& n) { return recurrent(n, {"LSTM", 4, 2, {0, 2, 3, 1}}); }
absl::StatusOr<Values> gru(NodeView& n) { return recurrent(n, {"GRU", 3, 1, {1, 0, 2}}); }
absl::StatusOr<Values> rnn(NodeView& n) { return recurrent(n, {"RNN", 1, 1, {0}}); }

constexpr OpEntry kEntries[] = {
    {"GRU", 7, kNow, 3, 6, Takes::kReal, gru},
    {"LSTM", 7, kNow, 3, 8, Takes::kReal, lstm},
    {"RNN", 7, kNow, 3, 6, Takes::kReal, rnn},
};

}  // namespace

absl::Span<const OpEntry> recurrent_entries() { return kEntries; }

}  // namespace modellib::onnx
