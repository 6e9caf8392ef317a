// Differentiation of a graph under construction, in reverse mode.
//
//   Value loss = …;
//   std::vector<Value> g = gradients(b, loss, {w, bias});
//
// The gradients are nodes like any other: they are planned, fused and differentiated again. Each
// node is emitted in the scope of the one that it differentiates. Those of f8 values, which are for
// storage alone, are f32, so that weights train through what they are rounded to.
#ifndef MODELLIB_OPS_GRADIENTS_H_
#define MODELLIB_OPS_GRADIENTS_H_

#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/op_def.h"

namespace modellib {

// d loss / d wrt[i], each of the type of wrt[i]; zeros where the loss does not depend on it. `loss`
// is a real of one element. All values belong to `builder`. Values of wrt may depend on each other:
// each gradient then counts every path.
std::vector<Value> gradients(GraphBuilder& builder, Value loss, absl::Span<const Value> wrt);

// The same, but the values of wrt count as independent of each other, and null stands where the
// loss does not depend on one.
std::vector<Value> partial_gradients(GraphBuilder& builder, Value loss,
                                     absl::Span<const Value> wrt);

// The vector-Jacobian product: sum over i of output_gradients[i] * d outputs[i] / d wrt[j]. Null
// stands for zero, both in output_gradients and in the result.
std::vector<Value> vjp(GraphBuilder& builder, absl::Span<const Value> outputs,
                       absl::Span<const Value> output_gradients, absl::Span<const Value> wrt);

// As vjp, but the values of wrt count as independent of each other: for gradient rules that emit
// what they differentiate. A value that stands twice in wrt has its whole gradient at the first
// place, null at the others.
std::vector<Value> partial_vjp(GraphBuilder& builder, absl::Span<const Value> outputs,
                               absl::Span<const Value> output_gradients,
                               absl::Span<const Value> wrt);

// The gradients of one call's inputs through its decomposition, whatever rule the op may have as
// well: of each operand its own, also where one value is several of them.
std::vector<Value> decomposition_gradient(OpCall& call, absl::Span<const Value> output_gradients);

}  // namespace modellib

#endif  // MODELLIB_OPS_GRADIENTS_H_
