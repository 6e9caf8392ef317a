// Composites in graphs that came in as primitives.
//
// An imported model spells out what the op table has as one op: gelu as six nodes, a layer norm as
// nine, attention as a dozen. Put back together they get the composite's gradient, which keeps less
// and is more accurate, and its kernel where the backend has one.
//
// What is recognised: sigmoid, silu, mish, gelu (both forms), relu6, hard_sigmoid, hard_swish,
// softmax, log_softmax, layer_norm and rms_norm with what scales and shifts them, and attention
// with a scale, an added mask and one that selects. Patterns hold for canonical graphs (run
// "canonicalize" and "fold-constants" first); a composite is put in only if nothing else wants its
// inner values. Constants may be rounded to their type, irrational ones to five digits.
//
// The meaning stays, except where the primitives give NaN: hard_swish(-inf) is 0. Where they put
// zeros for the NaN of a softmax, only that of a row without a key becomes zeros, not that of its
// operands. And where a mask selects a finite number (not -inf) in the place of a score, the
// composite adds it: a score that is hidden must be finite, and small beside that number, as those
// of all but broken models are.
#ifndef MODELLIB_PASSES_RECOGNISE_H_
#define MODELLIB_PASSES_RECOGNISE_H_

#include "absl/status/statusor.h"
#include "modellib/passes/pass.h"

namespace modellib {

// Explains near misses: "node 12 is no gelu: operand 1 of mul is not …".
absl::StatusOr<GraphRef> recognise(const GraphRef& graph, PassContext& context);

}  // namespace modellib

#endif  // MODELLIB_PASSES_RECOGNISE_H_
