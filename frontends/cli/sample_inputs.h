// Made-up inputs, for commands that need some and were given none. The same seed gives the same
// numbers on every machine.
#ifndef MODELLIB_FRONTENDS_CLI_SAMPLE_INPUTS_H_
#define MODELLIB_FRONTENDS_CLI_SAMPLE_INPUTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/tensor.h"

namespace modellib::cli {

struct SampleOptions {
  uint32_t seed = 12345;
  // Integers are drawn from 0 to it, booleans are true or false if it is not 0. 0 is in range,
  // whatever they index.
  int64_t largest_integer = 0;
};

// A value for each symbol of the entry: the number that was asked for, else its maximum.
std::vector<int64_t> symbol_values(const runtime::EntryInfo& entry, const DimRanges& dims);

// A tensor for each input of the entry, floats in [0, 1), of the extents that follow from these
// values. FailedPrecondition for values that were not planned for.
absl::StatusOr<std::vector<Tensor>> sample_inputs(const runtime::Executable& executable,
                                                  runtime::EntryId entry, const DimRanges& dims,
                                                  const SampleOptions& options = {});

// Binds tensors to all inputs, and sets the symbols that no input binds.
absl::Status bind_inputs(runtime::Session& session, runtime::EntryId entry,
                         const std::vector<Tensor>& inputs, const DimRanges& dims);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_SAMPLE_INPUTS_H_
