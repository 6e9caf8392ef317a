// Names for all values of a program, so that those of two plans of one model can be compared.
#ifndef MODELLIB_FRONTENDS_CLI_VALUE_NAMES_H_
#define MODELLIB_FRONTENDS_CLI_VALUE_NAMES_H_

#include "absl/status/statusor.h"
#include "modellib/graph/program.h"

namespace modellib::cli {

// A value without a name is called by scope and op, "encoder.0.fc1.matmul", with "#2" and so on
// behind it where that is taken. Constants stay without names. Equal programs get equal names.
absl::StatusOr<Program> name_values(const Program& program);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_VALUE_NAMES_H_
