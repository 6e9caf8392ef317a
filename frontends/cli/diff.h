// Where two models, or two ways of running one, part: both run on the same inputs, and the values
// that both have under one name are compared in the order in which the first computes them.
#ifndef MODELLIB_FRONTENDS_CLI_DIFF_H_
#define MODELLIB_FRONTENDS_CLI_DIFF_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/frontends/cli/compare_tensors.h"
#include "modellib/frontends/cli/describe.h"
#include "modellib/frontends/cli/sample_inputs.h"
#include "modellib/graph/dim.h"

namespace modellib::cli {

struct DiffSide {
  std::string file;
  std::string device = "cpu";         // or "reference", for models
  std::vector<std::string> disabled;  // passes left out when a model is compiled
};

struct DiffOptions {
  DiffSide a, b;
  std::vector<std::string> inputs;  // as read_inputs takes them; none: made-up ones
  SampleOptions samples;
  std::string entry;  // "": the only one
  DimRanges dims;
  std::optional<int> threads;  // 0, and none: one for each core
  Tolerance tolerance;
};

struct DiffReport {
  struct Difference {
    std::string value;
    std::string where_a, where_b;  // "step 12 'fc1' (cpu.matmul_f32)"
    int64_t trip = 0;              // of the loop around it
    TensorDifference difference = {};
    std::string position = {};               // of the worst element; for shapes that differ: both
    std::string value_a = {}, value_b = {};  // its values, as element_text gives them
  };
  // In an input, else in a named value, else in an output.
  struct Nan {
    std::string value, where, position;
  };
  int values_a = 0, values_b = 0;  // that have a name and lie in memory
  int compared = 0;                // of those, under one name
  int outputs = 0;
  std::vector<Difference> differences;  // in the order of A; outputs last
  std::optional<Nan> first_nan_a, first_nan_b;
};

// Wrong usage (see command.h) for options that have no effect. InvalidArgument for inputs that do
// not fit both, and where neither side runs on the CPU and no inputs are given; other errors are
// those of loading, compiling and running.
absl::StatusOr<DiffReport> diff(const DiffOptions& options);

Json describe_diff(const DiffReport& report);
// Some sentences, for people.
std::string diff_text(const DiffReport& report, const Tolerance& tolerance);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_DIFF_H_
