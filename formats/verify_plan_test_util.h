// What tests of verify_plan say of a plan.
#ifndef MODELLIB_FORMATS_VERIFY_PLAN_TEST_UTIL_H_
#define MODELLIB_FORMATS_VERIFY_PLAN_TEST_UTIL_H_

#include <string>

#include "absl/status/status.h"
#include "flatbuffers/flatbuffers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/verify_plan.h"

namespace modellib::test_plans {

inline absl::Status verify(const fb::PlanT& p) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Plan::Pack(builder, &p));
  flatbuffers::Verifier verifier(builder.GetBufferPointer(), builder.GetSize(), 64, 10'000'000);
  EXPECT_TRUE(fb::VerifyPlanBuffer(verifier));
  return verify_plan(*fb::GetPlan(builder.GetBufferPointer()));
}

inline void accepts(const fb::PlanT& p) {
  const absl::Status status = verify(p);
  EXPECT_TRUE(status.ok()) << status;
}

inline void refuses(const fb::PlanT& p, const std::string& message) {
  const absl::Status status = verify(p);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << "expected: " << message;
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(message));
}

}  // namespace modellib::test_plans

#endif  // MODELLIB_FORMATS_VERIFY_PLAN_TEST_UTIL_H_
