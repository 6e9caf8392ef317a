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
  const char* name;
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
    {"pool_kernel", "x: f32[1,1,4,4]", "max_pool(x) {kernel: [1099511627776,1]}",
     "kernel has 1099511627776, above 16777216"},
    {"pool_dilations", "x: f32[1,1,4,4]",
     "avg_pool(x) {kernel: [2,2], dilations: [9223372036854775807,1]}",
     "dilations has 9223372036854775807"},
    {"pool_strides", "x: f32[1,1,4,n]",
     "avg_pool(x) {kernel: [2,2], strides: [1,9223372036854775807], ceil_mode: true}",
     "strides has 9223372036854775807"},
    {"conv_padding", "x: f32[1,1,4,4], w: f32[1,1,2,2]",
     "conv(x, w) {padding_low: [9223372036854775807,0], padding_high: [9223372036854775807,0]}",
     "padding_low has 9223372036854775807"},
    {"conv_kernel", "x: f32[1,1,n,4], w: f32[1,1,33554432,1]", "conv(x, w)", "kernel has 33554432"},
    {"pad_reflect", "x: f32[n]",
     "pad(x) {low: [9223372036854775807], high: [0], mode: \"reflect\"}",
     "pad 9223372036854775807, 0 of axis 0"},
    {"pad_crop", "x: f32[n]", "pad(x) {low: [-9223372036854775808], high: [0]}",
     "pad -9223372036854775808, 0 of axis 0"},
    {"slice_step", "x: f32[4]",
     "slice(x) {starts: [3], limits: [-1], steps: [-9223372036854775808]}",
     "step -9223372036854775808 of axis 0"},
    {"slice_before", "x: f32[n]", "slice(x) {starts: [-1], limits: [n - 1]}",
     "the start of a slice of axis 0: 0 is more than -1"},
    {"slice_before_backwards", "x: f32[n]", "slice(x) {starts: [n - 1], limits: [-2], steps: [-1]}",
     "the limit of a slice of axis 0: -1 is more than -2"},
    {"broadcast", "x: f32[]", "broadcast_to(x) {shape: [2,-4]}", "output 0: extent -4 of [2,-4]"},
    {"broadcast_far", "x: f32[]", "broadcast_to(x) {shape: [4294967296,4294967296]}",
     "has too many elements"},
    {"iota", "", "iota() {shape: [-4]}", "output 0: extent -4 of [-4]"},
    {"random", "key: i64[]", "random_uniform(key) {shape: [-4], stream: 0}",
     "output 0: extent -4 of [-4]"},
};
INSTANTIATE_TEST_SUITE_P(Table, ExtremeAttributes, ::testing::ValuesIn(kExtremes),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace modellib
