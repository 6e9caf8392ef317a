// Recurrent layers: what of the standard's attributes and operands is taken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/frontends/onnx/run_model.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::NodeProto;
using testing::ElementsAre;
using testing::HasSubstr;

// h' = relu(x + h), over two steps of a batch of one.
absl::StatusOr<std::vector<float>> sums(const std::vector<float>& x,
                                        const std::vector<int64_t>& lengths = {}) {
  TestModel m;
  m.input("x", {"2", "1", "1"});
  m.constant("w", {1, 1, 1}, {1});
  m.constant("r", {1, 1, 1}, {1});
  if (!lengths.empty()) m.integers("lengths", lengths);
  NodeProto& node = m.node("RNN", {"x", "w", "r", "", lengths.empty() ? "" : "lengths"}, {"y"});
  AttributeProto& activations = *node.add_attribute();
  activations.set_name("activations");
  activations.set_type(AttributeProto::STRINGS);
  activations.add_strings("Relu");
  set_attribute(node, "hidden_size", 1);
  m.output("y");
  return run(m, {floats({2, 1, 1}, x)});
}

TEST(Rnn, MayBeRectified) {
  EXPECT_THAT(*sums({3, -1}), ElementsAre(3, 2));
  EXPECT_THAT(*sums({-3, 5}), ElementsAre(0, 5));
}

TEST(Rnn, MayBeToldThatItsSequencesHaveAllSteps) {
  EXPECT_THAT(*sums({3, -1}, {2}), ElementsAre(3, 2));
  const absl::Status status = sums({3, -1}, {1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("sequence_lens"));
}

}  // namespace
}  // namespace modellib::onnx
