// Any bytes that pass for a plan's metadata are refused or accepted, without harm and in bounded
// time.
#include <cstddef>
#include <cstdint>

#include "modellib/formats/plan_generated.h"
#include "modellib/formats/verify_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  flatbuffers::Verifier verifier(data, size);
  if (!modellib::fb::VerifyPlanBuffer(verifier)) return 0;
  modellib::verify_plan(*modellib::fb::GetPlan(data)).IgnoreError();
  return 0;
}
