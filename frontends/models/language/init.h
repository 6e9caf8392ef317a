// First values that language models share.
#ifndef MODELLIB_FRONTENDS_MODELS_LANGUAGE_INIT_H_
#define MODELLIB_FRONTENDS_MODELS_LANGUAGE_INIT_H_

#include <cstdint>

#include "modellib/frontends/nn/nn.h"

namespace modellib::language {

// A layer whose weight starts normal with deviation `std`, its bias at 0.
inline nn::Linear normal_linear(int64_t in, int64_t out, double std, bool bias = true) {
  nn::Linear layer(in, out, bias);
  layer.weight.set_initializer(nn::init::normal(0.0, std));
  layer.bias.set_initializer(nn::init::zeros());
  return layer;
}

inline nn::Embedding normal_embedding(int64_t rows, int64_t size, double std) {
  nn::Embedding table(rows, size);
  table.weight.set_initializer(nn::init::normal(0.0, std));
  return table;
}

// The rows of positions 0 to the length of axis 1 of `ids`; poisons if there are not as many.
Value first_positions(const nn::Embedding& table, const Value& ids);

}  // namespace modellib::language

#endif  // MODELLIB_FRONTENDS_MODELS_LANGUAGE_INIT_H_
