// A decoder with a key-value cache, small: the plan of the decode probe, and of the tests that run
// every program. The cache is a session variable that each run updates in place; the rows of a
// batch have different ages.
#ifndef MODELLIB_TESTS_SUPPORT_DECODER_H_
#define MODELLIB_TESTS_SUPPORT_DECODER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/program.h"
#include "modellib/graph/tensor.h"

namespace modellib::decoder {

inline constexpr int64_t kBatch = 3, kHeads = 2, kSize = 8, kModel = kHeads * kSize;
inline constexpr int64_t kVocabulary = 11, kCapacity = 70, kSteps = 64;

// The layer over its weights.
struct Layer {
  explicit Layer(GraphBuilder& b);
  // tokens' vectors [batch, n, model] -> [batch, heads, n, size]
  Value heads_of(Value x, Value w, int64_t n) const;
  // [batch, heads, n, size] -> [batch, n, vocabulary]
  Value logits(Value attended, int64_t n) const;
  Value table, q, k, v, head;
};
std::map<std::string, Tensor> weights();

// What row `row` reads at a position, and its position at a step of all: rows begin at different
// steps, and stay at their first token before.
int64_t token(int64_t row, int64_t position);
int64_t position_of(int64_t row, int64_t step);
// {tokens i64[batch, 1], positions i64[batch]} of a step.
std::vector<Tensor> inputs(int64_t step);

// "initialize" sets the weights; "decode" takes one token of each row: (tokens i64[batch, 1],
// positions i64[batch]) -> logits [batch, 1, vocabulary].
absl::StatusOr<Program> program();

}  // namespace modellib::decoder

#endif  // MODELLIB_TESTS_SUPPORT_DECODER_H_
