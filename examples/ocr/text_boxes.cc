#include "modellib/examples/ocr/text_boxes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace modellib::examples {
namespace {

constexpr float kIsText = 0.3f;   // a pixel
constexpr double kIsLine = 0.5;   // a core: the mean of its pixels
constexpr double kSmallest = 3;   // side of a core's rectangle
constexpr double kGrowth = 1.6;   // cores are shrunk by area / perimeter times about this
constexpr double kUpright = 1.5;  // from this height to width on, text runs down

struct Point {
  double x, y;
};

double cross(Point a, Point b, Point c) {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

// Convex hull, by Andrew's monotone chain.
std::vector<Point> hull_of(std::vector<Point> points) {
  std::sort(points.begin(), points.end(),
            [](Point a, Point b) { return std::pair(a.x, a.y) < std::pair(b.x, b.y); });
  std::vector<Point> hull;
  for (int half = 0; half < 2; ++half) {
    const size_t start = hull.size();
    for (const Point p : points) {
      while (hull.size() >= start + 2 && cross(hull[hull.size() - 2], hull.back(), p) <= 0) {
        hull.pop_back();
      }
      hull.push_back(p);
    }
    hull.pop_back();  // begins the other half
    std::reverse(points.begin(), points.end());
  }
  return hull;
}

// The smallest rectangle around a hull has a side along one of the hull's.
TextBox smallest_rectangle(const std::vector<Point>& hull) {
  TextBox best = {};
  double best_area = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < hull.size(); ++i) {
    const Point a = hull[i], b = hull[(i + 1) % hull.size()];
    const double norm = std::hypot(b.x - a.x, b.y - a.y);
    double ux = (b.x - a.x) / norm, uy = (b.y - a.y) / norm;
    // Of the four directions of a rectangle's sides, the one that points right the most.
    if (std::abs(ux) < std::abs(uy)) ux = std::exchange(uy, -ux);
    if (ux < 0) ux = -ux, uy = -uy;
    double left = std::numeric_limits<double>::infinity(), top = left;
    double right = -left, bottom = -left;
    for (const Point p : hull) {
      const double along = p.x * ux + p.y * uy, across = p.y * ux - p.x * uy;
      left = std::min(left, along), right = std::max(right, along);
      top = std::min(top, across), bottom = std::max(bottom, across);
    }
    const double area = (right - left) * (bottom - top);
    if (area >= best_area) continue;
    best_area = area;
    const double along = (left + right) / 2, across = (top + bottom) / 2;
    best = {along * ux - across * uy, along * uy + across * ux, ux, uy, right - left, bottom - top};
  }
  return best;
}

// Pixels that hang together, the first one being `start`, all of which are marked as seen. Their
// corners that matter for the hull, and the mean of their probabilities.
struct Core {
  std::vector<Point> corners;
  double mean;
};
Core core_at(int start, const float* probability, int width, int height, std::vector<bool>& seen) {
  std::vector<int> pixels = {start};
  seen[start] = true;
  Core core = {};
  for (size_t i = 0; i < pixels.size(); ++i) {
    const int x = pixels[i] % width, y = pixels[i] / width;
    core.mean += probability[pixels[i]];
    bool inside = true;
    for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, height - 1); ++ny) {
      for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, width - 1); ++nx) {
        const int neighbour = ny * width + nx;
        if (probability[neighbour] <= kIsText) {
          inside = false;
        } else if (!seen[neighbour]) {
          seen[neighbour] = true;
          pixels.push_back(neighbour);
        }
      }
    }
    if (inside && x > 0 && y > 0 && x + 1 < width && y + 1 < height) continue;
    for (const int dx : {0, 1}) {
      for (const int dy : {0, 1}) core.corners.push_back({x + double(dx), y + double(dy)});
    }
  }
  core.mean /= static_cast<double>(pixels.size());
  return core;
}

void sort_as_read(std::vector<TextBox>& boxes) {
  std::sort(boxes.begin(), boxes.end(),
            [](const TextBox& a, const TextBox& b) { return a.y < b.y; });
  // Boxes whose middle lies within the first one's height stand on its line.
  for (auto line = boxes.begin(); line != boxes.end();) {
    const auto end = std::find_if(
        line, boxes.end(), [&](const TextBox& b) { return b.y > line->y + line->height / 2; });
    std::sort(line, end, [](const TextBox& a, const TextBox& b) { return a.x < b.x; });
    line = end;
  }
}

}  // namespace

std::vector<TextBox> find_text(const float* probability, int width, int height) {
  std::vector<TextBox> boxes;
  std::vector<bool> seen(static_cast<size_t>(width) * height);
  for (int i = 0; i < width * height; ++i) {
    if (seen[i] || probability[i] <= kIsText) continue;
    Core core = core_at(i, probability, width, height, seen);
    if (core.mean < kIsLine) continue;
    TextBox box = smallest_rectangle(hull_of(std::move(core.corners)));
    if (std::min(box.length, box.height) < kSmallest) continue;
    const double area = box.length * box.height, perimeter = 2 * (box.length + box.height);
    const double border = kGrowth * area / perimeter;
    box.length += 2 * border;
    box.height += 2 * border;
    if (box.height >= kUpright * box.length) {
      std::swap(box.length, box.height);
      box.ux = -std::exchange(box.uy, box.ux);
    }
    boxes.push_back(box);
  }
  sort_as_read(boxes);
  return boxes;
}

Frame frame_of(const TextBox& box) {
  const double right_x = box.ux * box.length, right_y = box.uy * box.length;
  const double down_x = -box.uy * box.height, down_y = box.ux * box.height;
  return {box.x - (right_x + down_x) / 2,
          box.y - (right_y + down_y) / 2,
          right_x,
          right_y,
          down_x,
          down_y};
}

}  // namespace modellib::examples
