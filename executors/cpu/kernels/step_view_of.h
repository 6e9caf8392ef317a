// Views of steps for tests of what a kernel's check refuses.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_STEP_VIEW_OF_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_STEP_VIEW_OF_H_

#include <cstdint>
#include <cstring>
#include <vector>

#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// The arguments must outlive it.
inline runtime::StepView view_of(const std::vector<runtime::StepView::Range>& scalars,
                                 const std::vector<uint64_t>& outputs,
                                 const std::vector<uint64_t>& inputs, int64_t chunks,
                                 const std::vector<int>& aliases) {
  runtime::StepView view;
  view.name = "test";
  view.output_bytes = outputs;
  view.input_bytes = inputs;
  view.workspace_bytes = 0;
  view.scalars = scalars;
  view.chunks = {chunks, chunks};
  view.aliases = aliases;
  return view;
}

// Scalars that do not vary.
template <typename Scalars>
std::vector<runtime::StepView::Range> ranges_of(const Scalars& scalars) {
  int64_t values[sizeof(Scalars) / 8];
  std::memcpy(values, &scalars, sizeof(scalars));
  std::vector<runtime::StepView::Range> ranges;
  for (const int64_t value : values) ranges.push_back({value, value});
  return ranges;
}

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_STEP_VIEW_OF_H_
