#include "modellib/graph/dim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace modellib {
namespace {

using testing::ElementsAre;

const Dim kBatch = Dim::symbol("batch");
const Dim kSeq = Dim::symbol("seq");
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

TEST(Dim, NumbersFold) {
  EXPECT_EQ(Dim(7) / 2, Dim(3));
  EXPECT_EQ(Dim(-7) / 2, Dim(-4));
  EXPECT_EQ(Dim(-7) % 3, Dim(2));
  EXPECT_EQ(Dim(kLeast) % 3, Dim(1));
  EXPECT_EQ(min(Dim(3), Dim(5)), Dim(3));
  EXPECT_EQ(ceil_div(Dim(7), Dim(2)), Dim(4));
  EXPECT_TRUE((Dim(2) * 3).is_static());
}

TEST(Dim, EqualPolynomialsAreEqual) {
  EXPECT_EQ((kBatch + 1) * (kSeq - 1), kSeq * kBatch + kSeq - kBatch - 1);
  EXPECT_EQ(kBatch - kBatch, Dim(0));
  EXPECT_EQ(kBatch * kSeq / kSeq, kBatch);
  EXPECT_EQ((kBatch * 4 + 8) / 4, kBatch + 2);
  EXPECT_EQ((kBatch * 4 + 3) / 4, kBatch);
  EXPECT_EQ((kBatch * 4 + 3) % 4, Dim(3));
  EXPECT_FALSE(kBatch == kSeq);
  EXPECT_FALSE(kBatch == Dim(1));
}

TEST(Dim, MinAndMaxOfWhatDiffersByANumber) {
  EXPECT_EQ(min(kBatch, kBatch + 3), kBatch);
  EXPECT_EQ(max(kBatch, kBatch + 3), kBatch + 3);
  EXPECT_EQ(min(kBatch, kSeq), min(kSeq, kBatch));
}

TEST(Dim, EqualWithinRanges) {
  const DimRanges ranges = {{"batch", {1, 4}}, {"seq", {4, 9}}};
  EXPECT_TRUE(is_at_most(kBatch, kSeq, ranges));
  EXPECT_FALSE(is_at_most(kSeq, kBatch, ranges));
  EXPECT_TRUE(are_equal_within(min(kBatch, Dim(4)), kBatch, ranges));
  EXPECT_TRUE(are_equal_within(min(kBatch, kSeq), kBatch, ranges));
  EXPECT_FALSE(are_equal_within(min(kBatch, kSeq), kSeq, ranges));
  EXPECT_FALSE(are_equal_within(min(kBatch, Dim(3)), kBatch, ranges));
}

TEST(Dim, MinAndMaxAbsorb) {
  const Dim least = min(kBatch, kSeq), most = max(kBatch, Dim(5));
  EXPECT_EQ(min(least, kSeq), least);
  EXPECT_EQ(min(kBatch, least), least);
  EXPECT_EQ(max(most, Dim(5)), most);
  EXPECT_FALSE(min(most, kBatch) == most);
}

TEST(Dim, TextRoundTrip) {
  for (const Dim& d : {Dim(-3), kBatch * 3 - 2, kBatch / 2 + kSeq % 3, min(kBatch, Dim(5)) * kSeq,
                       max(kBatch + kSeq, kSeq * kSeq) - 7, Dim(kLeast), kBatch + kLeast,
                       kBatch * kLeast + 1, kSeq - kBatch * kLeast, kBatch / Dim(kLeast)}) {
    auto parsed = parse_dim(d.to_string());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, d) << d.to_string();
  }
  EXPECT_EQ(*parse_dim("(batch + 1) * 2 // 2"), kBatch + 1);
}

// Whatever is not too large to be printed.
TEST(Dim, LongTextRoundTrip) {
  Dim nested = kBatch, sum = 0;
  for (int i = 0; i < 400; ++i) nested = nested % Dim(3 + i % 2);
  for (int i = 0; i < 400; ++i) sum = sum + Dim::symbol("n" + std::to_string(i));
  for (const Dim& d : {nested, sum, Dim::symbol(std::string(Dim::kMaxText, 'n'))}) {
    ASSERT_FALSE(d.is_too_large());
    const auto parsed = parse_dim(d.to_string());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, d);
  }
}

TEST(Dim, SymbolsHaveNames) {
  for (const char* good : {"n", "_", "a.b", "$rank", "N1"}) {
    EXPECT_EQ(Dim::symbol(good).symbol_name(), good);
    EXPECT_EQ(*parse_dim(good), Dim::symbol(good));
  }
  for (const char* bad : {"", "batch size", "a + b", "1n", "n)", "a,b", "\xc3\xa9"}) {
    EXPECT_TRUE(Dim::symbol(bad).is_too_large()) << bad;
  }
}

TEST(Dim, ParserRefuses) {
  for (const char* bad :
       {"", "+", "batch +", "foo(1, 2)", "min(1)", "1 2", "99999999999999999999"}) {
    EXPECT_FALSE(parse_dim(bad).ok()) << bad;
  }
  EXPECT_FALSE(parse_dim(std::string(100000, '(')).ok());
}

TEST(Dim, Evaluate) {
  const Dim d = kBatch * kSeq / 7 + min(kBatch, kSeq) - kSeq % 2;
  EXPECT_EQ(*d.evaluate({{"batch", 5}, {"seq", 3}}), 15 / 7 + 3 - 1);
  EXPECT_EQ(d.evaluate({{"batch", 5}}).status().code(), absl::StatusCode::kInvalidArgument);
  const Dim huge = kBatch * kBatch * kBatch;
  EXPECT_EQ(huge.evaluate({{"batch", int64_t{1} << 40}}).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ((kBatch / kSeq).evaluate({{"batch", 1}, {"seq", 0}}).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(Dim, RangeHoldsEveryValue) {
  const DimRanges ranges = {{"batch", {1, 9}}, {"seq", {2, 5}}};
  for (const Dim& d : {kBatch * 3 - kSeq, kBatch / kSeq, kBatch % kSeq, min(kBatch, kSeq) * kBatch,
                       max(kBatch - 4, kSeq), kBatch * kSeq * 4 - kBatch * 4,
                       kBatch * kBatch * kSeq - kBatch * kSeq - kBatch}) {
    const DimRange r = d.range(ranges);
    for (int64_t b = 1; b <= 9; ++b) {
      for (int64_t s = 2; s <= 5; ++s) {
        const int64_t v = *d.evaluate({{"batch", b}, {"seq", s}});
        EXPECT_GE(v, r.min) << d.to_string();
        EXPECT_LE(v, r.max) << d.to_string();
      }
    }
  }
  EXPECT_EQ(kBatch.range({}).max, DimRange::kUnbounded);
  EXPECT_EQ((kBatch % kSeq).range({{"seq", {kLeast, kLeast}}}), (DimRange{0, 0}));
  // What all terms have in common is never negative, nor is what is left.
  EXPECT_EQ((kBatch * kSeq * 4 - kBatch * 4).range(ranges), (DimRange{4, 144}));
  EXPECT_EQ(((kBatch * kSeq - kBatch + 15) / 16).range(ranges), (DimRange{1, 3}));
}

// Each level stands twice in the one above, as it is taken apart.
TEST(Dim, RangeOfAProductThatIsSpreadOut) {
  const Dim h = Dim::symbol("h"), w = Dim::symbol("w"), n = Dim::symbol("n");
  const DimRanges ranges = {{"h", {4, 640}}, {"w", {8, 64}}, {"n", {0, 3}}};
  EXPECT_EQ(((h - 2) * (w - 2)).range(ranges), (DimRange{12, 638 * 62}));
  EXPECT_EQ((n * (h - 2) * (w - 4) - 1).range(ranges), (DimRange{-1, 3 * 638 * 60 - 1}));
  EXPECT_EQ((h * w - h * h).range({{"h", {1, 2}}, {"w", {5, 9}}}), (DimRange{4, 14}));
  EXPECT_EQ(((h - 2) * (w / 2 - 3)).range(ranges), (DimRange{2, 638 * 29}));
  EXPECT_EQ(((h - 2) * (w - 2)).range({{"h", {4, 640}}, {"w", {8, DimRange::kUnbounded}}}),
            (DimRange{12, DimRange::kUnbounded}));
  // Neither rises nor falls throughout; each number in it is within what is said.
  const DimRange around = ((h - 5) * (w - 20)).range(ranges);
  EXPECT_LE(around.min, -635 * 12);
  EXPECT_GE(around.max, 635 * 44);
}

TEST(Dim, RangeOfWhatIsNestedDeeply) {
  const Dim n = Dim::symbol("n");
  Dim nested = n;
  for (int i = 0; i < 100; ++i) nested = (n * nested + n) % Dim(7);
  ASSERT_FALSE(nested.is_too_large());
  EXPECT_EQ(nested.range({{"n", {1, 9}}}), (DimRange{0, 6}));
  EXPECT_EQ((n * nested + n).range({{"n", {1, 9}}}), (DimRange{1, 63}));
}

TEST(Dim, PostfixComputesTheSame) {
  const Dim d = kBatch * kSeq * 3 / 7 + max(kBatch, kSeq) - 5;
  std::vector<int64_t> stack;
  for (const Dim::Instruction& i : d.to_postfix()) {
    if (i.opcode == Dim::Opcode::kConst) {
      stack.push_back(i.value);
    } else if (i.opcode == Dim::Opcode::kSymbol) {
      stack.push_back(i.symbol == "batch" ? 5 : 3);
    } else {
      const int64_t b = stack.back();
      stack.pop_back();
      int64_t& a = stack.back();
      switch (i.opcode) {
        case Dim::Opcode::kAdd:
          a += b;
          break;
        case Dim::Opcode::kMul:
          a *= b;
          break;
        case Dim::Opcode::kFloorDiv:
          a /= b;
          break;
        case Dim::Opcode::kMax:
          a = std::max(a, b);
          break;
        default:
          FAIL();
      }
    }
  }
  EXPECT_THAT(stack, ElementsAre(5 * 3 * 3 / 7 + 5 - 5));
}

TEST(Dim, SubstituteAndSymbols) {
  const Dim d = kBatch / 2 + kSeq;
  EXPECT_THAT(d.symbols(), ElementsAre("batch", "seq"));
  EXPECT_EQ(d.substitute({{"batch", 8}}), kSeq + 4);
  EXPECT_TRUE(kBatch.is_symbol());
  EXPECT_FALSE((kBatch * 2).is_symbol());
}

// Texts of a few kilobytes whose products have more terms than there are atoms in the world.
TEST(Dim, ExpressionsAreBounded) {
  Dim sum = 0, power = 1;
  for (int i = 0; i < 40; ++i) sum = sum + Dim::symbol("s" + std::to_string(i));
  EXPECT_FALSE(sum.is_too_large());
  for (int i = 0; i < 100; ++i) power = power * sum;
  EXPECT_TRUE(power.is_too_large());
  EXPECT_EQ(power.evaluate({{"s0", 1}}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(power.range({}).max, DimRange::kUnbounded);
  EXPECT_TRUE(power.symbol_name().empty());
  // It stays so, whatever is done to it.
  for (const Dim& d :
       {power + 1, kBatch - power, power * 0, power / power, kBatch % power, min(power, kBatch),
        max(kBatch, power), ceil_div(power, 8), power.substitute({{"s0", 1}})}) {
    EXPECT_TRUE(d.is_too_large()) << d.to_string();
  }

  Dim long_sum = 0, nested = kBatch;
  for (int i = 0; i < 2000; ++i) long_sum = long_sum + Dim::symbol("a" + std::to_string(i));
  EXPECT_TRUE(long_sum.is_too_large());
  for (int i = 0; i < 100'000; ++i) nested = max(nested * 3 / 7, kSeq);
  EXPECT_TRUE(nested.is_too_large());
  EXPECT_TRUE(Dim::symbol(std::string(5000, 'a')).is_too_large());
  EXPECT_FALSE((kBatch * kSeq * kBatch / 3 + 1).is_too_large());
}

TEST(Dim, HostileTextIsRefused) {
  std::string sum = "(s0", product = "1", chain = "n";
  for (int i = 1; i < 40; ++i) sum += "+s" + std::to_string(i);
  sum += ")";
  for (int i = 0; i < 20; ++i) product += "*" + sum;
  for (int i = 0; i < 800; ++i) chain += "+a" + std::to_string(i);
  const std::string long_chain = chain + chain;
  // The least number divided by -1 is none.
  EXPECT_TRUE(parse_dim("(0 - 9223372036854775807*n - n) // (0 - n)").ok());
  EXPECT_TRUE(parse_dim("(0 - 9223372036854775807*n - n) % (0 - n)").ok());
  for (const std::string& text : {product, chain, sum + "//(" + product + ")"}) {
    ASSERT_LE(text.size(), Dim::kMaxText);
  }
  for (const std::string& text : {product, chain, sum + "//(" + product + ")", long_chain}) {
    const auto parsed = parse_dim(text);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(parsed.status().message()), testing::HasSubstr("expression too large"));
  }
}

TEST(Shape, Text) {
  EXPECT_EQ(to_string(Shape{kBatch, 784}), "[batch,784]");
  EXPECT_EQ(element_count(Shape{kBatch, 7, 2}), kBatch * 14);
  EXPECT_FALSE(static_extents(Shape{kBatch}).ok());
}

}  // namespace
}  // namespace modellib
