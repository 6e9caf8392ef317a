// Steps that the runtime performs itself: control flow and collectives.
#include "absl/strings/str_cat.h"
#include "modellib/executors/runtime/step_loader.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {

absl::Status StepLoader::load_body(const fb::Step& source, uint32_t which, int nesting) {
  const uint32_t sequence = source.sequences()->Get(which);
  if (sequence >= entry_.sequences.size() || visited_[sequence]) {
    return absl::InvalidArgumentError(absl::StrCat(
        "body ", sequence, " does not exist, or belongs to another control step already"));
  }
  return load_sequence(sequence, nesting + 1);
}

void StepLoader::set_bodies(const fb::Step& source, StepImage& step) {
  step.sequences = {static_cast<uint32_t>(entry_.indices.size()), size_of(source.sequences())};
  for (uint32_t i = 0; i < step.sequences.count; ++i) {
    entry_.indices.push_back(source.sequences()->Get(i));
  }
}

absl::Status StepLoader::fill_cond(const fb::Step& source, int nesting, StepImage& step) {
  step.kind = StepKind::kCond;
  if (size_of(source.sequences()) != 2 || step.inputs != 1 || step.outputs != 0 ||
      operand_bytes(0) < 1) {
    return absl::InvalidArgumentError("it wants two bodies and a predicate, no outputs");
  }
  set_bodies(source, step);
  MODELLIB_RETURN_IF_ERROR(load_body(source, 0, nesting));
  return load_body(source, 1, nesting);
}

absl::Status StepLoader::fill_loop(const fb::Step& source, int nesting, StepKind kind,
                                   StepImage& step) {
  step.kind = kind;
  const uint32_t bodies = kind == StepKind::kWhile ? 2 : 1;
  const uint64_t control = kind == StepKind::kWhile ? 1 : 8;
  const bool has_input = step.inputs == 1 && !operands_[step.outputs].absent();
  if (size_of(source.sequences()) != bodies || step.scalars.count != 1 || step.outputs > 1 ||
      step.inputs > 1 || (kind == StepKind::kWhile && !has_input) || ranges_[0].min < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("it wants ", bodies, " bodies, a bound of the trips >= 0, ",
                     bodies == 2 ? "a predicate" : "at most an input that counts the trips",
                     ", at most one output"));
  }
  if ((has_input && operand_bytes(step.outputs) < control) ||
      (step.outputs == 1 && !operands_[0].absent() && operands_[0].size < 8)) {
    return absl::InvalidArgumentError("its predicate, trips or index is too small");
  }
  set_bodies(source, step);
  loops_.push_back({ranges_[0].max});
  advances_.emplace_back();
  for (uint32_t i = 0; i < bodies; ++i) {
    MODELLIB_RETURN_IF_ERROR(load_body(source, i, nesting));
  }
  loops_.pop_back();
  step.advances = {static_cast<uint32_t>(entry_.advances.size()),
                   static_cast<uint32_t>(advances_.back().size())};
  entry_.advances.insert(entry_.advances.end(), advances_.back().begin(), advances_.back().end());
  advances_.pop_back();
  return absl::OkStatus();
}

absl::Status StepLoader::fill_collective(StepImage& step) {
  const absl::string_view name = step.kernel_name;
  entry_.uses_communicator = true;
  uint32_t scalars = 3;
  if (name == "comm.all_reduce") {
    step.kind = StepKind::kAllReduce;
  } else if (name == "comm.broadcast") {
    step.kind = StepKind::kBroadcast;
  } else if (name == "comm.all_gather") {
    step.kind = StepKind::kAllGather;
  } else if (name == "comm.reduce_scatter") {
    step.kind = StepKind::kReduceScatter;
    scalars = 4;
  } else {
    return absl::InvalidArgumentError("no such collective");
  }
  if (step.scalars.count != scalars || step.outputs != 1 || step.inputs != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("it wants one output, one input and ", scalars, " scalars"));
  }
  for (uint32_t i = 1; i < scalars; ++i) {
    if (ranges_[i].min != ranges_[i].max) {
      return absl::InvalidArgumentError("its type, reduction, root and world are static");
    }
  }
  const int64_t type = ranges_[1].max;
  if (type <= 0 || type >= kDTypeCount || bits_of(static_cast<DType>(type)) < 8) {
    return absl::InvalidArgumentError(absl::StrCat("no collectives of element type ", type));
  }
  const bool reduces = step.kind == StepKind::kAllReduce || step.kind == StepKind::kReduceScatter;
  if (reduces && (ranges_[2].max < 0 || ranges_[2].max > 3)) {
    return absl::InvalidArgumentError(absl::StrCat("no reduction ", ranges_[2].max));
  }
  if (ranges_[0].min < 0) return absl::InvalidArgumentError("a negative number of elements");
  const Wide bytes = Wide{ranges_[0].max} * (bits_of(static_cast<DType>(type)) / 8);
  Wide output = bytes;
  Wide input = bytes;
  if (step.kind == StepKind::kAllGather || step.kind == StepKind::kReduceScatter) {
    const int64_t world = ranges_[scalars - 1].max;
    if (world < 1 || world > (1 << 20) || (entry_.world != 0 && entry_.world != world)) {
      return absl::InvalidArgumentError(absl::StrCat("a world of ", world, " ranks"));
    }
    entry_.world = static_cast<int32_t>(world);
    (step.kind == StepKind::kAllGather ? output : input) *= world;
    if (aliases_[0] >= 0) return absl::InvalidArgumentError("its output overlaps its input");
  }
  if (step.kind == StepKind::kBroadcast && (ranges_[2].max < 0 || ranges_[2].max > (1 << 20))) {
    return absl::InvalidArgumentError(absl::StrCat("no root ", ranges_[2].max));
  }
  if (output > Wide{operand_bytes(0)} || input > Wide{operand_bytes(1)}) {
    return absl::InvalidArgumentError("its operands are smaller than its elements");
  }
  return absl::OkStatus();
}

}  // namespace modellib::runtime
