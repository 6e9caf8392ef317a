// Mixed precision: products in f16 or bf16, all else in f32.
//
// Runs on whole graphs, after gradients: so the products of the backward pass are cast as those of
// the forward pass are. A table says for each op in which precision it is carried out. Matmul,
// convolution, attention and their gradients read their f32 operands rounded to the narrow type and
// give a result that is rounded to it; recurrent cells are opened, for the products inside. Finite
// numbers of an added mask stay finite: they are cut off at the narrow type's largest. What is to
// be summed in f64 stays as it is. Softmax, norms, losses, reductions and updates stay in f32, and
// so do variables, which are the master weights: they are cast where a product reads them. Casts
// that meet are dropped by "canonicalize", and fused regions load and store the narrow type, so
// that between two products memory holds it.
//
// Gradients in f16 underflow without a loss scale: ops/loss_scaling.h, and mixed_precision of
// frontends/training/train_program.h.
#ifndef MODELLIB_PASSES_AUTOCAST_H_
#define MODELLIB_PASSES_AUTOCAST_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/passes/pass.h"

namespace modellib {

enum class Precision {
  kNarrow,  // f32 operands are rounded, and the result is
  kOpen,    // decomposed, and its parts are looked at
  kKeep,    // as it is
};
// Of an op, by the table; kKeep for those that are not in it.
Precision precision_of(absl::string_view op);

// The passes "autocast-f16" and "autocast-bf16". Nodes that are not in f32 stay as they are.
absl::StatusOr<GraphRef> autocast_f16(const GraphRef& graph, PassContext& context);
absl::StatusOr<GraphRef> autocast_bf16(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_AUTOCAST_H_
