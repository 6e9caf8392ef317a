#include "modellib/frontends/onnx/op_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace modellib::onnx {
namespace {

// The standard's versions of each op.
std::map<std::string, std::set<int>> standard() {
  std::map<std::string, std::set<int>> ops;
  std::ifstream file("frontends/onnx/testdata/op_versions.tsv");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> columns = absl::StrSplit(line, '\t');
    for (absl::string_view version : absl::StrSplit(columns.at(1), ',')) {
      int number = 0;
      EXPECT_TRUE(absl::SimpleAtoi(version, &number)) << line;
      ops[columns[0]].insert(number);
    }
  }
  return ops;
}

TEST(OpTable, EntriesBeginAndEndWhereTheStandardChangesTheOp) {
  const auto ops = standard();
  ASSERT_GT(ops.size(), 180u);
  for (absl::Span<const OpEntry> family : op_families()) {
    for (const OpEntry& e : family) {
      if (!e.domain.empty()) continue;
      const auto it = ops.find(std::string(e.op));
      ASSERT_NE(it, ops.end()) << e.op << " is no op of ai.onnx";
      EXPECT_TRUE(it->second.contains(e.since)) << e.op << " has no version " << e.since;
      EXPECT_TRUE(e.until == kNow || it->second.contains(e.until))
          << e.op << " has no version " << e.until;
      EXPECT_LT(e.since, e.until) << e.op;
      EXPECT_LE(e.min_inputs, e.max_inputs) << e.op;
    }
  }
}

TEST(OpTable, HasOpsOfEachFamily) {
  for (const char* op : {"Relu", "If", "Conv", "Einsum", "Gather", "NegativeLogLikelihoodLoss",
                         "MatMul", "LayerNormalization", "QuantizeLinear", "SequenceAt", "LSTM",
                         "ReduceSum", "Resize", "Reshape", "Slice"}) {
    EXPECT_NE(find_op("", op, kNewestOpset), nullptr) << op;
  }
}

TEST(OpTable, NoVersionHasTwoEntries) {
  std::map<std::string, std::vector<std::pair<int, int>>> ranges;
  for (absl::Span<const OpEntry> family : op_families()) {
    for (const OpEntry& e : family) {
      ranges[std::string(e.domain) + ":" + std::string(e.op)].emplace_back(e.since, e.until);
    }
  }
  for (auto& [op, list] : ranges) {
    std::sort(list.begin(), list.end());
    for (size_t i = 1; i < list.size(); ++i) EXPECT_LE(list[i - 1].second, list[i].first) << op;
  }
}

TEST(OpTable, FindsByVersion) {
  EXPECT_EQ(find_op("", "Squeeze", 12)->since, 1);
  EXPECT_EQ(find_op("", "Squeeze", 13)->since, 13);
  EXPECT_EQ(find_op("", "Squeeze", kNewestOpset)->since, 13);
  EXPECT_EQ(find_op("", "Add", 6), nullptr);
  EXPECT_EQ(find_op("ai.onnx.ml", "Add", 7), nullptr);
}

// A model of operator set 7 has the versions 6 of these, which differ in that nothing is broadcast.
TEST(OpTable, HasOpsThatDidNotChangeInTheOldestOperatorSet) {
  for (const char* op : {"Max", "Mean", "Min", "Sum"}) EXPECT_NE(find_op("", op, 7), nullptr) << op;
}

TEST(OpTable, NamesWhatIsNear) {
  EXPECT_EQ(nearest_op("", "Add"), "Add of opset 7 and later");
  EXPECT_EQ(nearest_op("", "Clip"), "Clip of opset 6 to 10, 11 and later");
  EXPECT_EQ(nearest_op("", "MatMull"), "MatMul of opset 1 and later");
  EXPECT_EQ(nearest_op("", "Frobnicate"), "");
}

}  // namespace
}  // namespace modellib::onnx
