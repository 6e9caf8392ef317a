// The text form of graphs and programs: complete, and exact in both directions. What print() writes
// parse_graph() reads back as the same graph, and printing that gives the same text.
//
//   graph "mlp" (x: f32[batch,784], y_0 "y:0": i64[batch]) {
//     dim batch in 1..1000                            // bounds of a symbol; "1.." has no maximum
//     require batch == rows "rows of x and y"         // equal once symbols are bound
//     w: var f32[10,784] "fc.weight"                  // a variable's content at entry
//     cache: session var f32[1,64] "kv"               // of a kind other than shared
//     h = matmul(x, w) {transpose_b: true}            // fc
//     a, b = split(h, _, %0) {axis: 1}                // "_": an absent operand
//     assign "fc.weight" = b                          // a variable's content after the run
//     return logits = a, softmax(h) {axis: -1}
//   }
//
// The comment that ends a node's line is its scope; any other comment is skipped. A value is
// written as an identifier that is unique in the graph, followed by its exact name as a string
// where the two differ, or as %0, %1 ... if it has no name. An output without a name is called by
// its value's identifier, or out0, out1, ... by its position. `graph "mlp" entry "train" (...)`
// stands in a program under another name than its own.
//
// Attributes: true, 3, 0.5, -0.0, inf, nan, "text", f32, [1, 2], [0.5, inf], [batch, 2*n],
// `f32[2] [1.0, 2.0]` or, for a large tensor, `f32[512,512] @<hash>` with its content in
// the side data; `graph "body" (...) {...}` for a region.
#ifndef MODELLIB_GRAPH_TEXT_H_
#define MODELLIB_GRAPH_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/program.h"

namespace modellib {

// Tensors that stand beside the text, by Tensor::content_hash().
class SideData {
 public:
  // False if another tensor has the same hash: that one stays.
  bool add(const Tensor& tensor);
  // Null if there is none.
  const Tensor* find(uint64_t hash) const;
  const absl::btree_map<uint64_t, Tensor>& tensors() const { return tensors_; }

 private:
  absl::btree_map<uint64_t, Tensor> tensors_;
};

struct PrintOptions {
  // Larger tensors are written as their hash.
  int64_t max_inline_elements = 16;
  // Receives the tensors that are written as their hash; null: the text alone can't be parsed back
  // if there are such.
  SideData* side_data = nullptr;
  // Writes the type of every value: "h: f32[batch,10] = matmul(...)". The parser checks them.
  bool types = false;
};

std::string print(const Graph& graph, const PrintOptions& options = {});
// One block for each entry.
std::string print(const Program& program, const PrintOptions& options = {});

// InvalidArgument "LINE:COLUMN: what is wrong" for text that is no graph or breaks a rule of the
// IR; Unimplemented, with the place, for an op that `registry` lacks; NotFound, with the place, for
// a tensor that is not in the side data.
absl::StatusOr<GraphRef> parse_graph(absl::string_view text, const OpRegistry& registry,
                                     const SideData& side_data = {});
// One or more graphs; a variable that several name is one.
absl::StatusOr<Program> parse_program(absl::string_view text, const OpRegistry& registry,
                                      const SideData& side_data = {});

}  // namespace modellib

#endif  // MODELLIB_GRAPH_TEXT_H_
