// Text and binary round trip: every sample of the op table comes back from the text form and from
// the native model as the same graph.
#include <gtest/gtest.h>

#include "modellib/formats/container.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/text.h"
#include "modellib/ops/registry.h"
#include "modellib/tests/op_table/samples.h"

namespace modellib {
namespace {

class RoundTrip : public testing::TestWithParam<OpCase> {};

TEST_P(RoundTrip, Text) {
  const absl::StatusOr<GraphRef> graph = sample_graph(GetParam());
  ASSERT_TRUE(graph.ok()) << graph.status();
  SideData side_data;
  const std::string text = print(**graph, {.side_data = &side_data, .types = true});
  const absl::StatusOr<GraphRef> parsed = parse_graph(text, builtin_ops(), side_data);
  ASSERT_TRUE(parsed.ok()) << parsed.status() << "\n" << text;
  EXPECT_TRUE(structurally_equal(**graph, **parsed)) << text;
  EXPECT_EQ(print(**parsed, {.types = true}), print(**graph, {.types = true}));
}

TEST_P(RoundTrip, Binary) {
  const absl::StatusOr<GraphRef> graph = sample_graph(GetParam());
  ASSERT_TRUE(graph.ok()) << graph.status();
  Model model;
  model.program.entries.push_back({"main", *graph});
  absl::StatusOr<std::vector<std::byte>> bytes = model_bytes(model);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto owner = std::make_shared<const std::vector<std::byte>>(*std::move(bytes));
  const absl::StatusOr<std::shared_ptr<const Container>> container =
      Container::open(SharedBytes{*owner, owner}, {});
  ASSERT_TRUE(container.ok()) << container.status();
  const absl::StatusOr<Model> read = read_model(**container, builtin_ops());
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->program.entries.size(), 1);
  EXPECT_TRUE(structurally_equal(**graph, *read->program.entries[0].graph));
  EXPECT_EQ(print(*read->program.entries[0].graph, {.types = true}),
            print(**graph, {.types = true}));
}

INSTANTIATE_TEST_SUITE_P(OpTable, RoundTrip, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
