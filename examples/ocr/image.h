// Pictures in memory, as the OCR models were trained on them: blue, green, red.
#ifndef MODELLIB_EXAMPLES_OCR_IMAGE_H_
#define MODELLIB_EXAMPLES_OCR_IMAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "modellib/modellib.hpp"

namespace modellib::examples {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // rows from the top; three bytes a pixel

  Image() = default;
  Image(int w, int h) : width(w), height(h), pixels(static_cast<size_t>(w) * h * 3) {}
  uint8_t* at(int x, int y) { return pixels.data() + 3 * (static_cast<size_t>(y) * width + x); }
  const uint8_t* at(int x, int y) const { return const_cast<Image*>(this)->at(x, y); }
};

// A PNG of any kind; what is transparent lies on white. INVALID_ARGUMENT with the decoder's words.
api::Result<Image> read_png(const std::string& path);

// Where the corners of a result lie in the picture that it is taken from: a parallelogram.
struct Frame {
  double x, y;              // the top left corner
  double right_x, right_y;  // from there to the top right one
  double down_x, down_y;    // and to the bottom left one
};

// What lies in the frame, as a picture of the given size, between pixels linearly. Beyond the
// edges the picture goes on with its last pixels.
Image cut(const Image& from, const Frame& frame, int width, int height);

Image resized(const Image& from, int width, int height);
Image turned_around(const Image& from);  // by 180 degrees

// Writes the picture as three planes of numbers from -1 to 1, rows `stride` and planes `plane`
// numbers apart.
void write_planes(const Image& from, float* to, int64_t stride, int64_t plane);

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_OCR_IMAGE_H_
