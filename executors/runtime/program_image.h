// An Executable from inside: the plan in the form that sessions walk, with names resolved to
// pointers and indices, everything checked. Made once by plan_loader.cc, immutable after.
#ifndef MODELLIB_EXECUTORS_RUNTIME_PROGRAM_IMAGE_H_
#define MODELLIB_EXECUTORS_RUNTIME_PROGRAM_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/kernel.h"
#include "modellib/formats/plan_file.h"

namespace modellib::runtime {

// A range of one of the entry's pools.
struct Slice {
  uint32_t begin = 0;
  uint32_t count = 0;
};
template <class T>
absl::Span<const T> in(const std::vector<T>& pool, Slice slice) {
  return absl::MakeConstSpan(pool).subspan(slice.begin, slice.count);
}

enum class StepKind : uint8_t {
  kKernel,
  kCond,
  kScan,
  kWhile,
  kAllReduce,
  kBroadcast,
  kAllGather,
  kReduceScatter,
};

// A number, or the slot that holds it (slot >= 0).
struct ScalarImage {
  int64_t value = 0;
  int32_t slot = -1;
};

struct StepImage {
  StepKind kind = StepKind::kKernel;
  bool has_chunk_slot = false;
  uint16_t lane = 0;
  const Kernel* kernel = nullptr;
  const KernelState* state = nullptr;
  const std::byte* data = nullptr;
  // In the pointers of the entry: outputs, inputs, then one for the workspace, perhaps null.
  uint32_t first_pointer = 0;
  uint32_t outputs = 0;
  uint32_t inputs = 0;
  Slice scalars;
  ScalarImage chunks;
  Slice waits;
  Slice signals;
  Slice sequences;  // bodies
  Slice advances;   // of a loop: the pointers that move with its trips
  Slice values;     // that the graph has a name for
  std::string name;
  absl::string_view kernel_name;

  uint32_t pointers() const { return outputs + inputs + 1; }
};

// pointer[index] = base + offset, when the base becomes known.
struct PointerPatch {
  uint32_t pointer;
  uint64_t offset;
};
// pointer[index] += stride, in each trip of a loop.
struct PointerAdvance {
  uint32_t pointer;
  int64_t stride;
};
// scalar[index] (or chunks[index]) = slot[slot].
struct SlotPatch {
  uint32_t index;
  uint32_t slot;
};

enum class DimOpcode : uint8_t { kConst, kSymbol, kAdd, kSub, kMul, kFloorDiv, kMod, kMin, kMax };
struct DimInstruction {
  DimOpcode code;
  int64_t value;
};
inline constexpr int kMaxDimStack = 64;

struct SlotImage {
  std::vector<DimInstruction> code;
  int64_t min;
  int64_t max;
};

// See fb::Constraint. Its sides have no range of their own.
struct ConstraintImage {
  SlotImage left, right;
  std::string left_text, right_text, reason;
};

enum class SymbolSource : uint8_t { kInput, kCaller, kRank, kWorld };

struct TensorImage {
  std::vector<ScalarImage> shape;
  std::vector<PointerPatch> patches;
};

// A value of the graph that lies in an output of a step when the step is done.
struct ValueImage {
  std::string name;
  DType dtype = DType::kInvalid;
  int output = 0;
  std::vector<ScalarImage> shape;
};

struct VariableUseImage {
  uint32_t variable;  // index in ProgramImage::variables
  bool reads;
  bool writes;
  std::vector<PointerPatch> patches;
};

struct ArenaUseImage {
  uint32_t arena;
  std::vector<PointerPatch> patches;
};

struct EntryImage {
  EntryInfo info;
  std::vector<SymbolSource> symbol_sources;
  std::vector<SlotImage> slots;
  std::vector<ConstraintImage> constraints;
  std::vector<TensorImage> inputs;
  std::vector<TensorImage> outputs;
  std::vector<VariableUseImage> variables;
  std::vector<ArenaUseImage> arenas;

  std::vector<StepImage> steps;  // of all sequences, each sequence in one run
  std::vector<Slice> sequences;
  std::vector<std::vector<uint32_t>> lanes;  // steps of the main sequence, by lane
  uint32_t signals = 0;
  bool uses_communicator = false;
  int32_t world = 0;  // ranks that its collectives expect; 0: any

  // Pools.
  std::vector<uint32_t> indices;
  std::vector<PointerAdvance> advances;
  std::vector<ValueImage> values;
  std::vector<int64_t> scalars;  // initial values
  std::vector<SlotPatch> scalar_patches;
  std::vector<SlotPatch> chunk_patches;  // index: step
  std::vector<std::byte*> pointers;      // constants are set, the others null
  std::vector<uint64_t> pointer_bytes;   // what the step may touch
};

struct VariableImage {
  int64_t segment = -1;
  uint64_t offset = 0;
  uint64_t session_offset = 0;  // of a session variable, in the session's memory
};

struct ProgramImage {
  std::shared_ptr<const PlanFile> file;
  bool untrusted = false;  // a plan that is not trusted, see PlanFile::trusted
  std::vector<VariableInfo> variables;
  std::vector<VariableImage> variable_images;
  std::vector<EntryImage> entries;
  std::vector<uint64_t> arena_offsets;  // in the session's memory
  uint64_t session_bytes = 0;
  std::vector<std::unique_ptr<const KernelState>> states;
  std::vector<std::unique_ptr<uint64_t[]>> data;  // steps' bytes, 8-byte aligned

  // Where a variable begins in its segment; null without one.
  const std::byte* initial_value(size_t variable) const;
};

// The value of a slot for these symbols. OutOfRange on overflow or division by zero, or for a value
// outside the slot's range. Allocates only for the error.
absl::StatusOr<int64_t> evaluate(const SlotImage& slot, absl::Span<const int64_t> symbols);

// Translates and checks a plan. The errors are those of Executable::load.
absl::StatusOr<std::unique_ptr<const ProgramImage>> load_program(
    std::shared_ptr<const PlanFile> file, const KernelTable& kernels, const LoadOptions& options);

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_PROGRAM_IMAGE_H_
