// What fuzzers of native models do with an input, for any ops.
#ifndef MODELLIB_FORMATS_NATIVE_MODEL_FUZZ_H_
#define MODELLIB_FORMATS_NATIVE_MODEL_FUZZ_H_

#include <cstddef>

#include "absl/types/span.h"
#include "modellib/graph/op_def.h"

namespace modellib::testing {

// Any bytes give a model or a Status. The checksums, which stop nearly every change before it is
// read, are made right first. What is accepted can be written.
void fuzz_native_model(absl::Span<const std::byte> bytes, const OpRegistry& ops);

}  // namespace modellib::testing

#endif  // MODELLIB_FORMATS_NATIVE_MODEL_FUZZ_H_
