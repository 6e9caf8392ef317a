// Opens whatever a command is given, by its content.
#ifndef MODELLIB_FRONTENDS_CLI_LOAD_FILE_H_
#define MODELLIB_FRONTENDS_CLI_LOAD_FILE_H_

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/formats/detect.h"
#include "modellib/formats/native_model.h"
#include "modellib/formats/plan_file.h"
#include "modellib/frontends/onnx/importer.h"

namespace modellib::cli {

struct LoadedFile {
  FileFormat format = FileFormat::kUnknown;
  std::optional<Model> model;            // ONNX, native and text
  std::shared_ptr<const PlanFile> plan;  // plans
  onnx::Signature signature;             // ONNX
};

// The file is taken to be hostile: it is copied and its checksums are compared. With `trusted` it
// is mapped and used in place. Unimplemented for a known format that is not read, and for what this
// version or this machine cannot do; else the input is at fault. `overridden`: defaults of an ONNX
// model that become inputs (frontends/onnx/importer.h).
absl::StatusOr<LoadedFile> load_file(const std::string& path, bool trusted = false,
                                     const std::set<std::string>& overridden = {});

// FailedPrecondition as Unimplemented: for what is loaded, not for what it is given.
absl::Status as_unsupported(const absl::Status& status);

// The entry to run: `wanted`, or the only one beside "initialize". InvalidArgument lists the names.
absl::StatusOr<std::string> choose_entry(const std::vector<std::string>& names,
                                         const std::string& wanted);

// A model without the entries that a run of the chosen one does not need: what they lack does not
// matter then. A plan as it is.
absl::StatusOr<LoadedFile> keep_entry(LoadedFile file, const std::string& wanted);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_LOAD_FILE_H_
