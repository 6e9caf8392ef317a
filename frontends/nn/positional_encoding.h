// Ways to tell a transformer where a token stands.
#ifndef MODELLIB_FRONTENDS_NN_POSITIONAL_ENCODING_H_
#define MODELLIB_FRONTENDS_NN_POSITIONAL_ENCODING_H_

#include <cstdint>

#include "modellib/frontends/nn/dropout.h"
#include "modellib/frontends/nn/embedding.h"
#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

// Adds sin(t / 10000^(2i/d)) to element 2i of position t and the cosine to element 2i + 1, then
// drops. Vaswani et al., 2017.
class PositionalEncoding : public Module {
 public:
  // d_model must be even. A sequence that is longer than max_len is an error when the graph is
  // built.
  explicit PositionalEncoding(int64_t d_model, double dropout = 0.1, int64_t max_len = 5000,
                              bool batch_first = false);
  // [length, batch, d_model], or [batch, length, d_model] with batch_first; the length must be
  // known ahead.
  Value forward(Value input) override;

  int64_t d_model, max_len;
  bool batch_first;
  Dropout dropout;
};

// The learned row of each position: [batch, length] or [batch, length, …] -> [length, d_model],
// which broadcasts to embeddings with the batch first.
class LearnedPositionalEncoding : public Module {
 public:
  LearnedPositionalEncoding(int64_t max_positions, int64_t d_model);
  Value forward(Value input) override;

  Embedding embeddings;
};

// Rotates queries and keys [batch, heads, length, dim] by their positions, from 0. Su et al., 2021.
// It has no parameters.
class RotaryPositionalEncoding : public Module {
 public:
  // Pairs are elements i and i + dim/2; `interleaved`: 2i and 2i + 1.
  explicit RotaryPositionalEncoding(int64_t dim, double base = 10000.0, bool interleaved = false)
      : dim(dim), base(base), interleaved(interleaved) {}
  Value forward(Value input) override;
  // `positions`: i64 [length] or [batch, length].
  Value forward(Value input, Value positions);

  int64_t dim;
  double base;
  bool interleaved;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_POSITIONAL_ENCODING_H_
