// Arithmetic of Contents: the pointwise ops on numbers that may be expressions over symbols.
#ifndef MODELLIB_FRONTENDS_ONNX_NUMBERS_H_
#define MODELLIB_FRONTENDS_ONNX_NUMBERS_H_

#include <cstddef>

#include "absl/strings/string_view.h"
#include "modellib/frontends/onnx/contents.h"
#include "modellib/graph/dtype.h"

namespace modellib::onnx {

// `op` is the name of a pointwise op, `dtype` the type of its operands. Unknown where the result
// cannot be told, as for a comparison that depends on a symbol.
Number unary_number(absl::string_view op, const Number& x, DType dtype);
Number binary_number(absl::string_view op, const Number& a, const Number& b, DType dtype);
Number cast_number(const Number& x, DType from, DType to);
Number choose_number(const Number& condition, const Number& a, const Number& b);

// How many parts an expression has; a number has one.
size_t size_of(const Dim& dim);
// False for expressions so large that arithmetic with them would take noticeable time.
bool is_modest(const Dim& dim);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_NUMBERS_H_
