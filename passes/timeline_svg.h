// A drawing of a memory plan: time runs to the right, memory upwards, each root buffer is a
// rectangle over the steps of its life and the bytes of its place. A line shows the sum of live
// bytes at each step; where it touches the top of the pile, the plan is as small as any could be.
//
// The result is one self-contained SVG with no script and no font or style from elsewhere. Each
// rectangle says in its tooltip what it is; those that are large enough carry a label. Thousands of
// records stay readable: the canvas is fixed, labels appear only where they fit, colours come from
// names, so that the same layer has the same colour in each drawing.
#ifndef MODELLIB_PASSES_TIMELINE_SVG_H_
#define MODELLIB_PASSES_TIMELINE_SVG_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/passes/memory_planner.h"

namespace modellib {

struct TimelineOptions {
  int width = 1280;   // of the drawing in pixels, at least 320
  int height = 640;   // of each arena's panel, at least 160
  std::string title;  // above the drawing
};

// `plan` is that of `records`. An arena without bytes has no panel. InvalidArgument if the sizes of
// the two or the options don't fit.
absl::StatusOr<std::string> timeline_svg(absl::Span<const MemoryRecord> records,
                                         const MemoryPlan& plan,
                                         const TimelineOptions& options = {});

}  // namespace modellib

#endif  // MODELLIB_PASSES_TIMELINE_SVG_H_
