// Two tensors that ought to hold the same.
#ifndef MODELLIB_FRONTENDS_CLI_COMPARE_TENSORS_H_
#define MODELLIB_FRONTENDS_CLI_COMPARE_TENSORS_H_

#include <cstdint>
#include <string>

#include "modellib/graph/tensor.h"

namespace modellib::cli {

struct Tolerance {
  double relative = 1e-3;
  double absolute = 1e-4;
};

struct TensorDifference {
  bool shapes_differ = false;
  int64_t differing = 0;  // elements with |a - b| > absolute + relative * max(|a|, |b|)
  int64_t elements = 0;
  int64_t worst = -1;   // the element, in C order, that exceeds its bound the most
  double a = 0, b = 0;  // its values
  double largest = 0;   // |a - b| over all elements that are numbers in both
  bool parted() const { return shapes_differ || differing > 0; }
};

// Element types may differ. Integers are compared as such, to the last bit; with another type
// values are compared as doubles. NaN equals NaN, an infinity one of its sign; against anything
// else they differ.
TensorDifference compare_tensors(const Tensor& a, const Tensor& b, const Tolerance& tolerance);

// The first element, in C order, that is no number; -1 if there is none.
int64_t first_nan(const Tensor& tensor);

// An element for people to read: integers to the last digit, others as a double.
std::string element_text(const Tensor& tensor, int64_t element);

// "[0,2,1]": where an element lies.
std::string position(const Tensor& tensor, int64_t element);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_COMPARE_TENSORS_H_
