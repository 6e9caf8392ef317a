#include "modellib/frontends/cli/describe.h"

#include "gtest/gtest.h"
#include "modellib/frontends/cli/command.h"

namespace modellib::cli {
namespace {

int code_of(const absl::Status& runs, bool assumed, bool gave_sizes) {
  PlanToDescribe plan;
  plan.runs = runs;
  if (assumed) plan.assumed["n"] = {1, 64};
  return exit_code(will_not_run(plan, gave_sizes));
}

// As `compile` exits on the same failure.
TEST(WillNotRun, HasTheCodeOfTheFailure) {
  EXPECT_EQ(code_of(absl::OkStatus(), false, false), 0);
  EXPECT_EQ(code_of(absl::UnimplementedError("a"), false, false), 3);
  EXPECT_EQ(code_of(absl::UnimplementedError("a"), true, true), 3);
  for (const bool assumed : {false, true}) {
    EXPECT_EQ(code_of(absl::ResourceExhaustedError("a"), assumed, false), 1);
    EXPECT_EQ(code_of(absl::InternalError("a"), assumed, false), 1);
    EXPECT_EQ(code_of(absl::FailedPreconditionError("a"), assumed, false), 1);
  }
}

TEST(WillNotRun, SizesThatWereAssumedAreNoFaultOfTheModel) {
  EXPECT_EQ(code_of(absl::InvalidArgumentError("a"), false, false), 1);
  EXPECT_EQ(code_of(absl::InvalidArgumentError("a"), true, true), 1);
  EXPECT_EQ(code_of(absl::InvalidArgumentError("a"), true, false), 3);
}

}  // namespace
}  // namespace modellib::cli
