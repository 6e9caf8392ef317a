// Where text is, from the map that a detector of the DB kind gives: for each pixel the probability
// that it belongs to the core of a line of text ("Real-time Scene Text Detection with
// Differentiable Binarization", Liao et al., 2020). Each connected core gives the smallest
// rectangle around it, at any angle, which is then grown to the whole of the line.
#ifndef MODELLIB_EXAMPLES_OCR_TEXT_BOXES_H_
#define MODELLIB_EXAMPLES_OCR_TEXT_BOXES_H_

#include <vector>

#include "modellib/examples/ocr/image.h"

namespace modellib::examples {

// A rectangle, read along `ux, uy`, a vector of length 1 that points right, or down where the
// rectangle is much higher than wide.
struct TextBox {
  double x, y;  // the middle
  double ux, uy;
  double length, height;  // along the reading direction, and across
};

// In the order in which one reads: lines from the top, within one from the left.
std::vector<TextBox> find_text(const float* probability, int width, int height);

Frame frame_of(const TextBox& box);

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_OCR_TEXT_BOXES_H_
