// Whole files, read and written at once.
#ifndef MODELLIB_FORMATS_FILE_BYTES_H_
#define MODELLIB_FORMATS_FILE_BYTES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace modellib {

// NotFound, PermissionDenied or Unknown, with the path and what the system says; ResourceExhausted
// for more than memory holds.
absl::StatusOr<std::string> read_file(const std::string& path);
// As output_file.h does: nobody sees half a file, links stay, pipes and devices are written to.
absl::Status write_file(const std::string& path, absl::string_view bytes);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_FILE_BYTES_H_
