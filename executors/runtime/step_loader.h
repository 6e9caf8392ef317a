// The steps of an entry, of its main sequence and of the bodies of control flow.
#ifndef MODELLIB_EXECUTORS_RUNTIME_STEP_LOADER_H_
#define MODELLIB_EXECUTORS_RUNTIME_STEP_LOADER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/executors/runtime/plan_checks.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/formats/plan_generated.h"

namespace modellib::runtime {

class StepLoader {
 public:
  // What stands around the steps is loaded already.
  StepLoader(const fb::Plan& plan, const fb::Entry& source, const KernelTable& kernels,
             ProgramImage& program, EntryImage& entry);

  absl::Status load();

 private:
  struct Loop {
    int64_t trips;  // at most
  };

  // An operand with the bytes that it can reach over all trips of the loops around it.
  struct Operand {
    fb::Space space = fb::Space::None;
    uint32_t index = 0;
    uint64_t offset = 0;
    uint64_t size = 0;
    int64_t loop_stride = 0;
    int64_t outer_stride = 0;
    Wide low = 0;
    Wide high = 0;

    bool absent() const { return space == fb::Space::None; }
    bool same_place(const Operand& o) const { return space == o.space && index == o.index; }
    bool same_strides(const Operand& o) const {
      return loop_stride == o.loop_stride && outer_stride == o.outer_stride;
    }
    // Whether the two can touch the same byte within one trip.
    bool overlaps(const Operand& o) const {
      if (absent() || o.absent() || !same_place(o) || size == 0 || o.size == 0) return false;
      if (same_strides(o)) return offset < o.offset + o.size && o.offset < offset + size;
      return low < o.high && o.low < high;
    }
  };

  absl::Status load_sequence(uint32_t index, int nesting);
  absl::StatusOr<Operand> checked_operand(const fb::BufferRef* ref) const;
  absl::Status check_writable(const Operand& o) const;
  absl::Status add_pointer(const Operand& o);
  absl::Status load_step(const fb::Step& source, uint32_t index, int nesting);
  absl::Status fill_step(const fb::Step& source, uint32_t index, int nesting, StepImage& step);
  absl::Status fill_lane(const fb::Step& source, int nesting, StepImage& step);
  absl::Status fill_operands(const fb::Step& source, StepImage& step);
  absl::Status find_aliases(const StepImage& step);
  absl::Status fill_scalars(const fb::Step& source, uint32_t index, StepImage& step);
  absl::Status fill_values(const fb::Step& source, StepImage& step);
  absl::Status fill_kernel(const fb::Step& source, StepImage& step);
  absl::Status load_body(const fb::Step& source, uint32_t which, int nesting);
  void set_bodies(const fb::Step& source, StepImage& step);
  absl::Status fill_cond(const fb::Step& source, int nesting, StepImage& step);
  absl::Status fill_loop(const fb::Step& source, int nesting, StepKind kind, StepImage& step);
  absl::Status fill_collective(StepImage& step);

  size_t use_index(const Operand& o) const { return static_cast<size_t>(use_of_[o.index]); }
  // Of operand i of the present step, outputs first.
  uint64_t operand_bytes(size_t i) const {
    return i < operands_.size() && !operands_[i].absent() ? operands_[i].size : 0;
  }

  const fb::Plan& plan_;
  const fb::Entry& source_;
  const KernelTable& kernels_;
  ProgramImage& program_;
  EntryImage& entry_;

  std::vector<int> use_of_;  // by variable: its index among the entry's uses, or -1
  std::vector<bool> signalled_;
  std::vector<bool> visited_;
  uint16_t lane_ = 0;        // of the step of the main sequence that is being loaded
  std::vector<Loop> loops_;  // around the step that is being loaded, innermost last
  std::vector<std::vector<PointerAdvance>> advances_;  // of these loops
  // Of the step that is being loaded.
  std::vector<Operand> operands_;
  std::vector<int> aliases_;
  std::vector<StepView::Range> ranges_;
  std::vector<uint64_t> sizes_;
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_STEP_LOADER_H_
