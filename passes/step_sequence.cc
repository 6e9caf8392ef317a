#include "modellib/passes/step_sequence.h"

#include <algorithm>
#include <utility>

namespace modellib {

Place StepBuffers::resolve(Place place) const {
  while (place.buffer != kNoBuffer && (*this)[place.buffer].inside.buffer != kNoBuffer) {
    const Place& around = (*this)[place.buffer].inside;
    place.buffer = around.buffer;
    place.offset += around.offset;
    if (place.strides.size() < around.strides.size()) place.strides.resize(around.strides.size());
    for (size_t i = 0; i < around.strides.size(); ++i) place.strides[i] += around.strides[i];
  }
  return place;
}

void for_each_operand(const LoweredStep& step,
                      const std::function<void(const Place&, int64_t, bool)>& visit) {
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    if (step.outputs[i].buffer != kNoBuffer) visit(step.outputs[i], step.output_bytes[i], true);
  }
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.inputs[i].buffer != kNoBuffer) visit(step.inputs[i], step.input_bytes[i], false);
  }
  for (const StepSequence& body : step.bodies) {
    for (const LoweredStep& inner : body.steps) for_each_operand(inner, visit);
  }
}

int64_t operand_alignment(int64_t bytes) {
  return bytes == 0 ? 1 : std::min<int64_t>(8, bytes & -bytes);
}

bool is_addressable(const Place& resolved, int64_t bytes) {
  const int64_t unit = operand_alignment(bytes);
  return resolved.offset % unit == 0 &&
         std::all_of(resolved.strides.begin(), resolved.strides.end(),
                     [unit](int64_t stride) { return stride % unit == 0; });
}

}  // namespace modellib
