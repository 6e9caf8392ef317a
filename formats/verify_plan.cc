#include "modellib/formats/verify_plan.h"

#include "modellib/formats/plan_decode.h"
#include "modellib/formats/plan_flow.h"
#include "modellib/formats/plan_order.h"

namespace modellib {

absl::Status verify_plan(const fb::Plan& plan) {
  absl::Status status = check_alignment(plan);
  if (!status.ok()) return status;
  status = check_tables(plan);
  if (!status.ok()) return status;
  // Visits of an interval: about a second, and a bound on the memory that the checks take. A
  // training step of 20,000 steps needs some 200,000.
  int64_t work = 32'000'000;
  for (uint32_t i = 0; i < count_of(plan.entries()); ++i) {
    const absl::StatusOr<DecodedEntry> entry = decode_entry(plan, *plan.entries()->Get(i));
    if (!entry.ok()) return entry.status();
    status = check_order(plan, *entry, &work);
    if (!status.ok()) return status;
    status = check_flow(plan, *entry, &work);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace modellib
