// Recurrent layers, as torch.nn.LSTM, GRU and their cells, with PyTorch's names of weights.
//
// A sequence of static length is unrolled; one of a free length becomes a scan.
#ifndef MODELLIB_FRONTENDS_NN_RECURRENT_H_
#define MODELLIB_FRONTENDS_NN_RECURRENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/ops/recurrent.h"

namespace modellib::nn {

// One step on [batch, input_size] with states [batch, hidden_size]. Weights start uniform in
// ±1/sqrt(hidden_size).
class LSTMCell : public Module {
 public:
  LSTMCell(int64_t input_size, int64_t hidden_size, bool bias = true);
  using Module::forward;
  LstmState forward(Value input, const LstmState& state);

  Parameter weight_ih, weight_hh, bias_ih, bias_hh;  // rows: gates i, f, g, o
  int64_t input_size, hidden_size;
};

class GRUCell : public Module {
 public:
  GRUCell(int64_t input_size, int64_t hidden_size, bool bias = true);
  using Module::forward;
  Value forward(Value input, Value hidden);

  Parameter weight_ih, weight_hh, bias_ih, bias_hh;  // rows: gates r, z, n
  int64_t input_size, hidden_size;
};

struct RecurrentOptions {
  int64_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;    // [batch, length, features]; else [length, batch, features]
  double dropout = 0.0;        // of what goes from one layer to the next; in [0, 1]
  bool bidirectional = false;  // a second set of weights reads from the end; results side by side
};

// What LSTM and GRU share: layers, directions and the walk along the sequence.
class RecurrentLayers : public Module {
 public:
  int64_t input_size, hidden_size;
  RecurrentOptions options;

 protected:
  // Of one layer and direction: "weight_ih_l0", "weight_hh_l0_reverse", …
  struct Weights : Module {
    Weights(const std::string& suffix, int64_t rows, int64_t input, int64_t hidden, bool bias);
    RecurrentWeights read(const Value& like) const;
    Parameter weight_ih, weight_hh, bias_ih, bias_hh;
  };
  struct Sequences {
    Value output;
    std::vector<Value> states;  // [layers · directions, batch, hidden] each
  };
  RecurrentLayers(int64_t input_size, int64_t hidden_size, const RecurrentOptions& options,
                  int64_t gates);
  // `initial`: one for each state of the cell, all null for zeros.
  Sequences run(Value input, std::vector<Value> initial);
  virtual std::vector<Value> step(Value x, absl::Span<const Value> state,
                                  const RecurrentWeights& weights) const = 0;

 private:
  int64_t directions() const { return options.bidirectional ? 2 : 1; }
  Sequences one_direction(Value xs, std::vector<Value> state, const RecurrentWeights& weights,
                          bool reverse) const;
};

struct LstmSequence {
  Value output;     // [length, batch, directions · hidden], the last layer's h at each step
  LstmState state;  // of each layer after its last step: [layers · directions, batch, hidden]
};
class LSTM : public RecurrentLayers {
 public:
  LSTM(int64_t input_size, int64_t hidden_size, const RecurrentOptions& options = {});
  // Null states begin as zeros.
  LstmSequence forward(Value input, const LstmState& initial);
  // From zeros; the output alone.
  Value forward(Value input) override { return forward(input, LstmState{}).output; }

 protected:
  std::vector<Value> step(Value x, absl::Span<const Value> state,
                          const RecurrentWeights& weights) const override;
};

struct GruSequence {
  Value output;
  Value hidden;
};
class GRU : public RecurrentLayers {
 public:
  GRU(int64_t input_size, int64_t hidden_size, const RecurrentOptions& options = {});
  GruSequence forward(Value input, Value initial);
  Value forward(Value input) override { return forward(input, Value()).output; }

 protected:
  std::vector<Value> step(Value x, absl::Span<const Value> state,
                          const RecurrentWeights& weights) const override;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_RECURRENT_H_
