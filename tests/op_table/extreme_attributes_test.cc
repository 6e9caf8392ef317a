// Attributes from files may be any number: whatever an op computes with them, it refuses those that
// it cannot, with a message and without overflow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "modellib/graph/text.h"
#include "modellib/ops/registry.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;

struct Extreme {
  const char* op;
  const char* inputs;
  const char* statement;
  const char* message;
};
void PrintTo(const Extreme& e, std::ostream* out) { *out << e.statement; }

class ExtremeAttributes : public ::testing::TestWithParam<Extreme> {};

TEST_P(ExtremeAttributes, AreRefused) {
  const Extreme& e = GetParam();
  const std::string text =
      std::string("graph \"g\" (") + e.inputs + ") {\n  y = " + e.statement + "\n  return y\n}";
  const absl::Status status = parse_graph(text, builtin_ops()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(e.message));
}

const Extreme kExtremes[] = {
    {"while_counts", "x: f32[]",
     "while(x) {condition: graph \"c\" (a: f32[]) {return less(a, a)}, "
     "body: graph \"b\" (a: f32[]) {return a}, carries: 9223372036854775807, "
     "condition_captures: 1}",
     "9223372036854775807 carries and 1 captured values of 1 operands"},
    {"while_trips", "x: f32[]",
     "while(x) {condition: graph \"c\" (a: f32[]) {return less(a, a)}, "
     "body: graph \"b\" (a: f32[]) {return a}, carries: 1, max_trips: [-1]}",
     "max_trips is -1"},
    {"scan_counts", "x: f32[]",
     "scan(x) {body: graph \"b\" (i: i64[], a: f32[]) {return a}, trips: [2], carries: 1, "
     "xs: 9223372036854775807}",
     "1 carries and 9223372036854775807 xs of 1 operands"},
    {"scan_trips", "x: f32[]",
     "scan(x) {body: graph \"b\" (i: i64[], a: f32[]) {return a}, trips: [-1], carries: 1}",
     "-1 trips"},
};
INSTANTIATE_TEST_SUITE_P(Table, ExtremeAttributes, ::testing::ValuesIn(kExtremes),
                         [](const auto& info) { return std::string(info.param.op); });

}  // namespace
}  // namespace modellib
