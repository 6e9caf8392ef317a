// One side of a comparison: a model or plan on a device, and what is seen of it in a run.
#ifndef MODELLIB_FRONTENDS_CLI_DIFF_SIDE_H_
#define MODELLIB_FRONTENDS_CLI_DIFF_SIDE_H_

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/frontends/cli/diff.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/tensors_in_files.h"
#include "modellib/graph/tensor.h"

namespace modellib::cli {

// The named values of a run, in the order in which they were first computed.
class Recording {
 public:
  struct Value {
    std::string name;
    int step = 0;
    std::string where;
    std::vector<Tensor> trips;  // of a loop's body several
    bool ambiguous = false;     // several steps give a value of this name
  };

  // `step` tells apart who computed it; what has its channels last is kept with its channels first.
  void add(absl::string_view name, int step, const std::string& where, Tensor tensor);

  const std::vector<Value>& values() const { return values_; }
  const Value* find(const std::string& name) const;
  const std::optional<DiffReport::Nan>& first_nan() const { return first_nan_; }

 private:
  std::mutex mutex_;  // lanes report at once
  std::vector<Value> values_;
  absl::flat_hash_map<std::string, size_t> index_;
  std::optional<DiffReport::Nan> first_nan_;
};

class RunSide {
 public:
  virtual ~RunSide() = default;
  virtual std::vector<InputSlot> inputs() const = 0;
  virtual std::vector<std::string> outputs() const = 0;
  // Null where the device cannot say how large inputs are to be.
  virtual const runtime::Executable* executable() const { return nullptr; }
  virtual runtime::EntryId entry() const { return {}; }
  // Once. The outputs in order; all else is recorded.
  virtual absl::StatusOr<std::vector<Tensor>> run(const std::vector<Tensor>& inputs) = 0;

  const Recording& recording() const { return recording_; }

 protected:
  Recording recording_;
};

// Compiles what is to run on the CPU.
absl::StatusOr<std::unique_ptr<RunSide>> open_side(LoadedFile file, const DiffSide& side,
                                                   const DiffOptions& options);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_DIFF_SIDE_H_
