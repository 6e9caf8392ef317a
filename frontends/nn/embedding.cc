#include "modellib/frontends/nn/embedding.h"

#include <utility>
#include <vector>

#include "modellib/ops/embedding.h"
#include "modellib/ops/index.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/statistics.h"

namespace modellib::nn {
namespace {

Initializer normal_but_for(std::optional<int64_t> zero_row) {
  const Initializer normal = init::normal();
  if (!zero_row.has_value()) return normal;
  return [normal, row = *zero_row](GraphBuilder& b, Value key, const TensorType& type) {
    const Value rows = iota(b, {type.shape[0], 1});
    return where(equal(rows, static_cast<double>(row)), 0.0, normal(b, key, type));
  };
}

// The table with the rows `ids` at most `limit` long.
Value renormalized(Value table, Value ids, double limit, double p) {
  const Value flat = reshape(ids, {-1});
  const Value ones = full(table, {flat.dim(0)}, 1);
  const Value uses = scatter_add(full(table, {table.dim(0)}, 0), flat, ones);
  const Value length = norm(table, {.p = p, .axes = {1}});
  const Value too_long = logical_and(greater(uses, 0.0), greater(length, limit));
  const Value factor = where(too_long, limit / (length + 1e-7), 1.0);
  return table * unsqueeze(factor, {1});
}

}  // namespace

Embedding::Embedding(int64_t num_embeddings, int64_t embedding_dim, const EmbeddingOptions& o)
    : num_embeddings(num_embeddings), embedding_dim(embedding_dim), options(o) {
  if (options.padding_idx.has_value() && *options.padding_idx < 0) {
    *options.padding_idx += num_embeddings;
  }
  weight = Parameter({num_embeddings, embedding_dim}, normal_but_for(options.padding_idx));
  register_parameter("weight", weight);
}

Embedding Embedding::from_pretrained(Tensor embeddings, bool freeze,
                                     const EmbeddingOptions& options) {
  const std::vector<int64_t>& shape = embeddings.shape();
  // A table of another rank shows as an initial value of the wrong shape.
  Embedding layer(shape.empty() ? 0 : shape[0], shape.size() < 2 ? 0 : shape[1], options);
  layer.weight.set_initializer(init::tensor(std::move(embeddings)));
  layer.weight.set_requires_grad(!freeze);
  return layer;
}

Value Embedding::forward(Value input) {
  const ModuleScope scope(*this, input);
  if (input.is_null() || input.is_poisoned()) return input;
  if (options.max_norm.has_value()) {
    const Value table = weight.read(input);
    weight.assign(renormalized(table, input, *options.max_norm, options.norm_type));
  }
  return embedding(weight.read(input), input, {options.padding_idx});
}

}  // namespace modellib::nn
