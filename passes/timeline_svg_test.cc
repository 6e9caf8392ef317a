#include "modellib/passes/timeline_svg.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int count(const std::string& text, const std::string& what) {
  int n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

std::vector<MemoryRecord> chain(int n) {
  std::vector<MemoryRecord> records(n);
  for (int i = 0; i < n; ++i) {
    records[i].id = i;
    records[i].size = 64 * (1 + i % 7);
    records[i].first = i;
    records[i].last = i + 1 + i % 5;
    records[i].name = absl::StrCat("layer", i);
  }
  return records;
}

std::string draw(const std::vector<MemoryRecord>& records) {
  const auto plan = plan_memory(records);
  EXPECT_TRUE(plan.ok()) << plan.status();
  const auto svg = timeline_svg(records, *plan);
  EXPECT_TRUE(svg.ok()) << svg.status();
  return *svg;
}

TEST(TimelineSvg, FiveRecordsHaveLabels) {
  const std::string svg = draw(chain(5));
  EXPECT_EQ(svg.rfind("<svg", 0), 0u);
  EXPECT_EQ(count(svg, "<g>"), 5);
  EXPECT_EQ(count(svg, "</g>"), 5);
  EXPECT_EQ(count(svg, "class=\"l\""), 5);
  EXPECT_THAT(svg, HasSubstr("<title>layer3: 256 B at offset "));
  EXPECT_THAT(svg, HasSubstr("lower bound"));
  EXPECT_EQ(count(svg, "class=\"u\""), 1);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(TimelineSvg, FiveThousandRecordsStaySmall) {
  const std::string svg = draw(chain(5000));
  EXPECT_EQ(count(svg, "<g>"), 5000);
  EXPECT_EQ(count(svg, "class=\"l\""), 0);  // no label would fit
  EXPECT_LT(svg.size(), 2'000'000u);
}

TEST(TimelineSvg, RectanglesCoverTheLivesOfAliases) {
  std::vector<MemoryRecord> records = chain(2);
  records[1].size = 64;
  records[1].alias_of = 0;
  records[1].first = 7;
  records[1].last = 9;
  const std::string svg = draw(records);
  EXPECT_EQ(count(svg, "<g>"), 1);
  EXPECT_THAT(svg, HasSubstr("layer0: 64 B at offset 0, steps 0 to 9"));
}

TEST(TimelineSvg, APanelForEachArena) {
  std::vector<MemoryRecord> records = chain(8);
  for (int i = 4; i < 8; ++i) records[i].arena = 1;
  const std::string svg = draw(records);
  EXPECT_THAT(svg, HasSubstr("arena 0:"));
  EXPECT_THAT(svg, HasSubstr("arena 1:"));
  EXPECT_EQ(count(svg, "class=\"u\""), 2);
}

TEST(TimelineSvg, NamesAreEscaped) {
  std::vector<MemoryRecord> records = chain(1);
  records[0].name = "<script>\"a&b\"\n</script>";
  const std::string svg = draw(records);
  EXPECT_THAT(svg, Not(HasSubstr("<script>")));
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;&quot;a&amp;b&quot; &lt;/script&gt;"));
}

TEST(TimelineSvg, NamesAreMadeUtf8) {
  const auto title = [](const std::string& name) {
    std::vector<MemoryRecord> records = chain(1);
    records[0].name = name;
    const std::string svg = draw(records);
    const size_t begin = svg.find("<g><title>") + 10;
    return svg.substr(begin, svg.find(": 64 B", begin) - begin);
  };
  const std::string none = "\xef\xbf\xbd";  // U+FFFD
  for (const char* good : {"z\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x99\x82!"}) {
    EXPECT_EQ(title(good), good);
  }
  EXPECT_EQ(title("a\xff<"), "a" + none + "&lt;");
  EXPECT_EQ(title("\xc3"), none);
  EXPECT_EQ(title("\xe2\x82 "), none + none + " ");
  EXPECT_EQ(title("\xc0\xaf"), none + none) << "longer than it need be";
  EXPECT_EQ(title("\xed\xa0\x80"), none + none + none) << "half of a pair";
  EXPECT_EQ(title("\xf4\x90\x80\x80"), none + none + none + none) << "beyond U+10FFFF";
  EXPECT_EQ(title("\xef\xbf\xbf"), none + none + none) << "no character of XML";
}

TEST(TimelineSvg, NothingToDraw) {
  EXPECT_THAT(draw({}), HasSubstr("</svg>"));
  EXPECT_EQ(count(draw({}), "<g>"), 0);
}

TEST(TimelineSvg, ExtremeTimesAndSizes) {
  std::vector<MemoryRecord> records = chain(2);
  records[0].first = std::numeric_limits<int64_t>::min();
  records[0].last = std::numeric_limits<int64_t>::max();
  records[1].size = int64_t{1} << 61;
  const std::string svg = draw(records);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(TimelineSvg, RefusesWhatDoesNotFit) {
  const std::vector<MemoryRecord> records = chain(3);
  const auto plan = plan_memory(records);
  EXPECT_FALSE(timeline_svg(absl::MakeSpan(records).subspan(1), *plan).ok());
  TimelineOptions options;
  options.width = 10;
  EXPECT_FALSE(timeline_svg(records, *plan, options).ok());
}

}  // namespace
}  // namespace modellib
