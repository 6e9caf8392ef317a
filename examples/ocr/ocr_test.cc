#include "modellib/examples/ocr/ocr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "modellib/examples/ocr/image.h"
#include "modellib/examples/ocr/text_boxes.h"

namespace modellib::examples {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kModels[] = "external/models";

std::string picture(const char* name) {
  return std::string("examples/ocr/pictures/") + name + ".png";
}

std::vector<std::string> texts(const Page& page) {
  EXPECT_TRUE(page.status.ok()) << page.status.message();
  std::vector<std::string> texts;
  for (const Line& line : page.lines) {
    EXPECT_TRUE(line.status.ok()) << line.status.message();
    EXPECT_GT(line.confidence, 0.8) << line.text;
    texts.push_back(line.text);
  }
  return texts;
}

// The pictures are drawn by make_pictures.py.
TEST(Ocr, ReadsPicturesSideBySide) {
  api::Result<Ocr> ocr = Ocr::load(kModels, 2);
  ASSERT_TRUE(ocr.ok()) << ocr.status().message();
  const std::vector<Page> pages = ocr->read(
      {picture("receipt"), picture("sign"), picture("empty"), picture("upside_down"), "nowhere"});
  ASSERT_EQ(pages.size(), 5u);
  EXPECT_THAT(texts(pages[0]), ElementsAre("Corner Bakery", "2 croissants", "4.80", "1 sourdough",
                                           "6.25", "Total", "11.05", "Thank you for coming!"));
  EXPECT_THAT(texts(pages[1]), ElementsAre("PLATFORM 12", "Mind the gap"));
  EXPECT_THAT(texts(pages[2]), IsEmpty());
  EXPECT_THAT(texts(pages[3]), ElementsAre("Handle with care", "This side up"));
  for (const Line& line : pages[3].lines) EXPECT_TRUE(line.turned) << line.text;
  EXPECT_EQ(pages[4].status.code(), MODELLIB_INVALID_ARGUMENT);
}

// A bar that is askew, as the detector's map shows a line.
TEST(TextBoxes, FindsARectangleAtAnAngle) {
  constexpr int kWidth = 200, kHeight = 120;
  constexpr double kAngle = 0.2, kX = 90, kY = 60, kLength = 100, kThickness = 20;
  std::vector<float> map(kWidth * kHeight, 0.01f);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      const double dx = x + 0.5 - kX, dy = y + 0.5 - kY;
      const double along = dx * std::cos(kAngle) + dy * std::sin(kAngle);
      const double across = dy * std::cos(kAngle) - dx * std::sin(kAngle);
      if (std::abs(along) < kLength / 2 && std::abs(across) < kThickness / 2) {
        map[y * kWidth + x] = 0.9f;
      }
    }
  }
  map[5 * kWidth + 5] = 0.9f;  // too small
  const std::vector<TextBox> boxes = find_text(map.data(), kWidth, kHeight);
  ASSERT_EQ(boxes.size(), 1u);
  EXPECT_NEAR(boxes[0].x, kX, 1);
  EXPECT_NEAR(boxes[0].y, kY, 1);
  EXPECT_NEAR(std::atan2(boxes[0].uy, boxes[0].ux), kAngle, 0.02);
  // Grown on each side by 1.6 * area / perimeter.
  const double border = 1.6 * kLength * kThickness / (2 * (kLength + kThickness));
  EXPECT_NEAR(boxes[0].length, kLength + 2 * border, 3);
  EXPECT_NEAR(boxes[0].height, kThickness + 2 * border, 3);
}

TEST(TextBoxes, ReadsHighOnesDownwards) {
  constexpr int kSize = 100;
  std::vector<float> map(kSize * kSize, 0.0f);
  for (int y = 20; y < 80; ++y) {
    for (int x = 50; x < 60; ++x) map[y * kSize + x] = 1.0f;
  }
  const std::vector<TextBox> boxes = find_text(map.data(), kSize, kSize);
  ASSERT_EQ(boxes.size(), 1u);
  EXPECT_NEAR(boxes[0].ux, 0, 1e-9);
  EXPECT_NEAR(boxes[0].uy, 1, 1e-9);
  const Frame frame = frame_of(boxes[0]);
  EXPECT_GT(frame.x, 60);  // reading begins at the upper right corner
  EXPECT_LT(frame.y, 20);
  EXPECT_GT(frame.right_y, 60);
  EXPECT_LT(frame.down_x, -10);
}

TEST(Image, IsReadAndTurned) {
  const api::Result<Image> sign = read_png(picture("sign"));
  ASSERT_TRUE(sign.ok()) << sign.status().message();
  EXPECT_EQ(sign->width, 520);
  EXPECT_EQ(sign->height, 300);
  EXPECT_EQ(turned_around(turned_around(*sign)).pixels, sign->pixels);
  EXPECT_EQ(resized(*sign, 520, 300).pixels, sign->pixels);
}

}  // namespace
}  // namespace modellib::examples
