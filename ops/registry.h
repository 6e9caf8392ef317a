// The built-in ops. To add one: write its file (docs/adding_an_op.md) and name it in registry.cc.
#ifndef MODELLIB_OPS_REGISTRY_H_
#define MODELLIB_OPS_REGISTRY_H_

#include <vector>

#include "modellib/graph/op_def.h"

namespace modellib {

// All built-in ops; made on first use, lives as long as the process.
const OpRegistry& builtin_ops();

// Adds the built-in ops; the first mistake of a family's definitions (a name twice, a kernel
// missing).
absl::Status add_builtin_ops(OpRegistry& registry);

// A copy of the built-in table, for a context that adds ops of its own.
OpRegistry make_builtin_registry();

}  // namespace modellib

#endif  // MODELLIB_OPS_REGISTRY_H_
