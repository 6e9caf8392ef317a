// Embedding: rows of a learned table by number, as torch.nn.Embedding.
#ifndef MODELLIB_FRONTENDS_NN_EMBEDDING_H_
#define MODELLIB_FRONTENDS_NN_EMBEDDING_H_

#include <cstdint>
#include <optional>

#include "modellib/frontends/nn/module.h"
#include "modellib/graph/tensor.h"

namespace modellib::nn {

struct EmbeddingOptions {
  // This row starts as zeros and gets no gradient. Negative: from the end.
  std::optional<int64_t> padding_idx = std::nullopt;
  // Rows that are looked up and have a larger norm are first scaled down to it, in the table.
  std::optional<double> max_norm = std::nullopt;
  double norm_type = 2.0;  // p of that norm
};

class Embedding : public Module {
 public:
  // The table starts normal, with deviation 1.
  Embedding(int64_t num_embeddings, int64_t embedding_dim, const EmbeddingOptions& options = {});
  // A table f32 [num_embeddings, embedding_dim]; `freeze`: it is not trained.
  static Embedding from_pretrained(Tensor embeddings, bool freeze = true,
                                   const EmbeddingOptions& options = {});

  // i64 or i32 of any shape [...] -> [..., embedding_dim]. A number out of range is an error of the
  // run.
  Value forward(Value input) override;

  Parameter weight;  // [num_embeddings, embedding_dim]
  int64_t num_embeddings, embedding_dim;
  EmbeddingOptions options;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_EMBEDDING_H_
