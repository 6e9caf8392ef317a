// A plan that is ready to run: kernels found and checked, constants in place. Immutable; any number
// of threads and sessions share one.
//
//   MODELLIB_ASSIGN_OR_RETURN(auto file, PlanFile::open("mnist.mlplan"));
//   MODELLIB_ASSIGN_OR_RETURN(auto executable, Executable::load(file, kernels));
//   MODELLIB_ASSIGN_OR_RETURN(EntryId infer, executable->entry("infer"));
//
// What runs it is a Session (session.h); what it learns lies in a VariableStore (variable_store.h).
#ifndef MODELLIB_EXECUTORS_RUNTIME_EXECUTABLE_H_
#define MODELLIB_EXECUTORS_RUNTIME_EXECUTABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/kernel_table.h"
#include "modellib/formats/plan_file.h"
#include "modellib/graph/dtype.h"

namespace modellib::runtime {

struct ProgramImage;

// An entry of one executable, found by name once.
class EntryId {
 public:
  EntryId() = default;
  explicit EntryId(int index) : index_(index) {}
  int index() const { return index_; }
  bool operator==(const EntryId&) const = default;

 private:
  int index_ = -1;
};

// A free dimension and the values that the plan holds for.
struct SymbolInfo {
  std::string name;
  int64_t min;
  int64_t max;
};

struct TensorInfo {
  std::string name;
  DType dtype;
  std::vector<int64_t> max_shape;  // the largest extent of each dimension
  std::vector<int> symbols;        // the symbol that each dimension of an input binds, or -1
  uint64_t bytes;                  // enough for the largest extents
  bool dynamic;                    // some extent is decided by each run
};

struct EntryInfo {
  std::string name;
  std::vector<SymbolInfo> symbols;
  std::vector<TensorInfo> inputs;
  std::vector<TensorInfo> outputs;
  bool writes_variables = false;  // shared ones
  uint64_t planned_bytes = 0;
  uint64_t lower_bound_bytes = 0;
  int lanes = 0;
  int steps = 0;
};

enum class VariableKind : uint8_t { kShared = 0, kSession = 1, kShard = 2 };

struct VariableInfo {
  std::string name;
  VariableKind kind;
  DType dtype;
  std::vector<int64_t> shape;
  uint64_t bytes;
};

struct LoadOptions {
  // What this machine has, of the features that plans name ("avx2", "f16c", ...).
  std::vector<std::string> features;
};

class Executable {
 public:
  // FailedPrecondition for a plan of another kKernelAbi, or listing every kernel, or every feature
  // of the machine, that the plan needs and that is not there; InvalidArgument naming the step for
  // a plan that contradicts itself or that some kernel refuses. What loads can do no harm, whoever
  // wrote it.
  static absl::StatusOr<std::shared_ptr<const Executable>> load(
      std::shared_ptr<const PlanFile> file, const KernelTable& kernels,
      const LoadOptions& options = {});
  ~Executable();

  // NotFound listing the names there are.
  absl::StatusOr<EntryId> entry(absl::string_view name) const;
  absl::StatusOr<int> input(EntryId entry, absl::string_view name) const;
  absl::StatusOr<int> output(EntryId entry, absl::string_view name) const;
  absl::StatusOr<int> symbol(EntryId entry, absl::string_view name) const;

  // The extents that an input has where the entry's symbols have these values. InvalidArgument for
  // an input that is none or another number of values, FailedPrecondition for values that were not
  // planned for.
  absl::StatusOr<std::vector<int64_t>> input_shape(EntryId entry, int input,
                                                   absl::Span<const int64_t> symbols) const;

  int entry_count() const;
  // Without a name, inputs or outputs for an entry that is none.
  const EntryInfo& info(EntryId entry) const;
  absl::Span<const VariableInfo> variables() const;
  // What one session takes: arenas, session variables and their alignment, in whole pages of 4096
  // bytes, one at least. Inputs and outputs come on top where the session owns them.
  uint64_t session_bytes() const;

  // For the runtime's own files.
  const ProgramImage& image() const { return *image_; }

 private:
  explicit Executable(std::unique_ptr<const ProgramImage> image);
  std::unique_ptr<const ProgramImage> image_;
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_EXECUTABLE_H_
