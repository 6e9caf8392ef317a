#include "modellib/examples/ocr/image.h"

#include <png.h>

#include <algorithm>
#include <cmath>

namespace modellib::examples {

api::Result<Image> read_png(const std::string& path) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  const png_color white = {255, 255, 255};
  Image image;
  if (png_image_begin_read_from_file(&png, path.c_str()) != 0) {
    png.format = PNG_FORMAT_BGR;
    image = Image(static_cast<int>(png.width), static_cast<int>(png.height));
    png_image_finish_read(&png, &white, image.pixels.data(), 0, nullptr);
  }
  if (PNG_IMAGE_FAILED(png)) {
    return api::Status(MODELLIB_INVALID_ARGUMENT, path + ": " + png.message);
  }
  return image;
}

Image cut(const Image& from, const Frame& frame, int width, int height) {
  Image to(width, height);
  for (int row = 0; row < height; ++row) {
    const double v = (row + 0.5) / height;
    for (int column = 0; column < width; ++column) {
      const double u = (column + 0.5) / width;
      // Pixels are squares, and their colour is that of their middle.
      const double x =
          std::clamp(frame.x + u * frame.right_x + v * frame.down_x - 0.5, 0.0, from.width - 1.0);
      const double y =
          std::clamp(frame.y + u * frame.right_y + v * frame.down_y - 0.5, 0.0, from.height - 1.0);
      const int left = static_cast<int>(x), top = static_cast<int>(y);
      const int right = std::min(left + 1, from.width - 1);
      const int bottom = std::min(top + 1, from.height - 1);
      const double fx = x - left, fy = y - top;
      uint8_t* out = to.at(column, row);
      for (int c = 0; c < 3; ++c) {
        const double above = from.at(left, top)[c] * (1 - fx) + from.at(right, top)[c] * fx;
        const double below = from.at(left, bottom)[c] * (1 - fx) + from.at(right, bottom)[c] * fx;
        out[c] = static_cast<uint8_t>(std::lround(above * (1 - fy) + below * fy));
      }
    }
  }
  return to;
}

Image resized(const Image& from, int width, int height) {
  return cut(from, {0, 0, static_cast<double>(from.width), 0, 0, static_cast<double>(from.height)},
             width, height);
}

Image turned_around(const Image& from) {
  Image to(from.width, from.height);
  for (int y = 0; y < from.height; ++y) {
    for (int x = 0; x < from.width; ++x) {
      std::copy_n(from.at(from.width - 1 - x, from.height - 1 - y), 3, to.at(x, y));
    }
  }
  return to;
}

void write_planes(const Image& from, float* to, int64_t stride, int64_t plane) {
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < from.height; ++y) {
      float* row = to + c * plane + y * stride;
      for (int x = 0; x < from.width; ++x) {
        row[x] = static_cast<float>(from.at(x, y)[c]) / 127.5f - 1.0f;
      }
    }
  }
}

}  // namespace modellib::examples
