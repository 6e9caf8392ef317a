// A plan's memory over time, for a picture: the buffers of its arenas and the steps at which they
// hold something.
#ifndef MODELLIB_FRONTENDS_CLI_PLAN_TIMELINE_H_
#define MODELLIB_FRONTENDS_CLI_PLAN_TIMELINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/formats/plan_file.h"

namespace modellib::cli {

// The drawing of one entry (passes/timeline_svg.h). NotFound for an entry that is not there.
absl::StatusOr<std::string> plan_timeline_svg(const PlanFile& plan, absl::string_view entry);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_PLAN_TIMELINE_H_
