#include "modellib/frontends/nn/positional_encoding.h"

#include <cmath>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "modellib/frontends/nn/spatial.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/tensor.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/index.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::nn {
namespace {

absl::StatusOr<Tensor> sinusoids(int64_t length, int64_t size, DType dtype) {
  MODELLIB_ASSIGN_OR_RETURN(Tensor table, Tensor::zeros(dtype, {length, size}));
  for (int64_t t = 0; t < length; ++t) {
    for (int64_t i = 0; i < size; i += 2) {
      const double angle = static_cast<double>(t) *
                           std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(size));
      table.set(t * size + i, std::sin(angle));
      table.set(t * size + i + 1, std::cos(angle));
    }
  }
  return table;
}

}  // namespace

PositionalEncoding::PositionalEncoding(int64_t d_model, double dropout, int64_t max_len,
                                       bool batch_first)
    : d_model(d_model), max_len(max_len), batch_first(batch_first), dropout(dropout) {
  register_module("dropout", this->dropout);
}

Value PositionalEncoding::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (!check_rank(input, {3}, "PositionalEncoding", "[length, batch, features]")) return input;
  const Dim length = input.dim(batch_first ? 1 : 0), size = input.dim(2);
  const bool fits = is_floating(input.dtype()) && length.is_static() && length.value() <= max_len &&
                    size.is_static() && size.value() == d_model && d_model > 0 && d_model % 2 == 0;
  if (!fits) {
    return input.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat("PositionalEncoding of up to ", max_len, " positions of ", d_model,
                     " float features (an even number) cannot take ", to_string(input.type()))));
  }
  absl::StatusOr<Tensor> table = sinusoids(length.value(), d_model, input.dtype());
  if (!table.ok()) return input.builder()->poison(table.status());
  const Value addend = input.builder()->constant(*std::move(table));
  return dropout.forward(input + unsqueeze(addend, {batch_first ? 0 : 1}));
}

LearnedPositionalEncoding::LearnedPositionalEncoding(int64_t max_positions, int64_t d_model)
    : embeddings(max_positions, d_model) {
  register_module("embeddings", embeddings);
}

Value LearnedPositionalEncoding::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (input.is_null() || input.is_poisoned()) return input;
  return embeddings.forward(iota(*input.builder(), {input.dim(1)}));
}

Value RotaryPositionalEncoding::forward(Value input) {
  if (input.is_null() || input.is_poisoned()) return input;
  return forward(input, iota(*input.builder(), {input.dim(2)}));
}

Value RotaryPositionalEncoding::forward(Value input, Value positions) {
  const ModuleScope scope(*this, input);
  if (!check_rank(input, {4}, "RotaryPositionalEncoding", "[batch, heads, length, features]")) {
    return input;
  }
  if (input.dim(3).is_static() && input.dim(3).value() != dim) {
    return input.builder()->poison(absl::InvalidArgumentError(absl::StrCat(
        "RotaryPositionalEncoding of ", dim, " features cannot take ", to_string(input.type()))));
  }
  return rotary_embedding(input, positions, base, interleaved);
}

}  // namespace modellib::nn
