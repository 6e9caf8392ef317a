// Models as text, .mltxt: the program in its text form (graph/text.h). What is too large for text,
// and what variables hold, stands in a companion file beside it, PATH.data, a container as that of
// native models but without graphs. A text without such tensors needs no companion.
#ifndef MODELLIB_FORMATS_TEXT_MODEL_H_
#define MODELLIB_FORMATS_TEXT_MODEL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/op_def.h"

namespace modellib {

// Writes the companion too, or removes an old one that is not needed any more. Where the text
// cannot be written, the old companion stays.
absl::Status write_text_model(const Model& model, const std::string& path);

// As parse_program() and read_model().
absl::StatusOr<Model> read_text_model(const std::string& path, const OpRegistry& registry,
                                      const ContainerOptions& options = {});

}  // namespace modellib

#endif  // MODELLIB_FORMATS_TEXT_MODEL_H_
