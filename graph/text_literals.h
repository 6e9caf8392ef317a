// Literals of the text form (graph/text.h): strings, floats and elements of tensors, each written
// so that it reads back to the last bit.
#ifndef MODELLIB_GRAPH_TEXT_LITERALS_H_
#define MODELLIB_GRAPH_TEXT_LITERALS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "modellib/graph/tensor.h"

namespace modellib::text {

// [A-Za-z_][A-Za-z0-9_.]*
bool is_identifier(absl::string_view text);
bool is_identifier_start(char c);
bool is_identifier_part(char c);

// In double quotes; control characters, quotes and backslashes are escaped, UTF-8 stays.
std::string quote(absl::string_view text);

// The shortest digits that give the same bits back; always with a point or an exponent, so that it
// is no integer. "inf", "-inf", "nan", "-nan", and "nan(0x…)" with all bits for any other NaN.
std::string format_float(double value);
bool parse_float(absl::string_view text, double& value);
// Whether `text` is the spelling of a float rather than of an integer or an expression.
bool looks_like_float(absl::string_view text);

// Element `i` in C order.
std::string format_element(const Tensor& tensor, int64_t i);
// False, if the text is no element of the tensor's type.
bool parse_element(absl::string_view text, Tensor& tensor, int64_t i);

}  // namespace modellib::text

#endif  // MODELLIB_GRAPH_TEXT_LITERALS_H_
