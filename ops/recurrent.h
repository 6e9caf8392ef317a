// One step of a recurrent layer, with PyTorch's weights and order of gates.
//
// x [batch, features], h and c [batch, hidden], w_ih [gates · hidden, features],
// w_hh [gates · hidden, hidden], b_ih and b_hh [gates · hidden] or null, all of one type. A layer
// over a sequence scans the step.
#ifndef MODELLIB_OPS_RECURRENT_H_
#define MODELLIB_OPS_RECURRENT_H_

#include <string>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct RecurrentWeights {
  Value w_ih, w_hh;
  Value b_ih = {}, b_hh = {};
};

struct LstmState {
  Value h, c;
};
// Gates i, f, g, o: c' = f c + i g, h' = o tanh(c'). Hochreiter and Schmidhuber, 1997, with forget
// gates.
LstmState lstm_cell(Value x, LstmState state, const RecurrentWeights& weights);

// Gates r, z, n: n = tanh(W_n x + b_n + r (U_n h + b'_n)), h' = (1 - z) n + z h: the reset comes
// after the product, as in cuDNN. Cho et al., 2014.
Value gru_cell(Value x, Value h, const RecurrentWeights& weights);

struct RnnCellAttributes {
  std::string nonlinearity = "tanh";  // or "relu"
  static constexpr auto fields() {
    return std::make_tuple(field("nonlinearity", &RnnCellAttributes::nonlinearity));
  }
};
// tanh(W x + b + U h + b'). Elman, 1990.
Value rnn_cell(Value x, Value h, const RecurrentWeights& weights,
               RnnCellAttributes attributes = {});

}  // namespace modellib

#endif  // MODELLIB_OPS_RECURRENT_H_
