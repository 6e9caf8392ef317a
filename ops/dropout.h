// Dropout and its relatives.
//
// No mask is stored: random numbers are a function of the key (random.h) and the element's place,
// so the gradient draws the same ones again. Each call site has a stream of its own; one key serves
// all.
#ifndef MODELLIB_OPS_DROPOUT_H_
#define MODELLIB_OPS_DROPOUT_H_

#include <cstdint>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct DropoutAttributes {
  double p = 0.5;       // probability that an element becomes 0
  int64_t stream = -1;  // of the random numbers; -1: dropout() takes the builder's next
  static constexpr auto fields() {
    return std::make_tuple(field("p", &DropoutAttributes::p),
                           field("stream", &DropoutAttributes::stream));
  }
};

// x / (1 - p) where a uniform number of [0, 1) is at least p, else 0; p = 1 gives zeros. Srivastava
// et al., "Dropout", 2014. This is the training form: for inference leave it out.
Value dropout(Value x, Value key, DropoutAttributes attributes = {});

// Drops whole channels of x [batch, channels, …]. Tompson et al., 2015.
Value dropout2d(Value x, Value key, double p = 0.5);
// Drops whole samples of x [batch, …]: stochastic depth. Huang et al., 2016.
Value drop_path(Value x, Value key, double p, bool scale_by_keep = true);
// Drops the whole of x: the "batch" mode of stochastic depth.
Value drop_batch(Value x, Value key, double p);
// Sets dropped elements to SELU's negative limit and rescales, so that mean and variance stay.
// Klambauer et al., "Self-Normalizing Neural Networks", 2017.
Value alpha_dropout(Value x, Value key, double p = 0.5);

}  // namespace modellib

#endif  // MODELLIB_OPS_DROPOUT_H_
