// The dimensions that "--dim" can name.
#ifndef MODELLIB_FRONTENDS_CLI_DIMS_H_
#define MODELLIB_FRONTENDS_CLI_DIMS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/graph/dim.h"

namespace modellib::cli {

// Those of a model's inputs, or those that a plan leaves to each run. Each once, in order.
std::vector<std::string> dim_names(const LoadedFile& file);

// Those of `dims` that are among `names`.
DimRanges dims_among(const DimRanges& dims, const std::vector<std::string>& names);

// Wrong usage for a name that is not among `names`.
absl::Status check_dim_names(const DimRanges& dims, const std::vector<std::string>& names);

// Wrong usage (see command.h) for a dimension that has no effect on the file: an unknown one, and
// bounds for a plan, which has its own.
absl::Status check_dims(const LoadedFile& file, const DimRanges& dims);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_DIMS_H_
