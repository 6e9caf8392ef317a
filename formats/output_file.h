// A file that is being written, at once or piece by piece, whatever stands at its path.
//
// A regular file, or one that is not there yet, is written beside its place and takes it in
// commit(): whoever reads the path sees the old file or the new one, never half of one, and a file
// that is not committed leaves nothing behind. An old file's permissions stay. A symbolic link
// stays too: the file that it points to is replaced. All else - a pipe, a device, a terminal - is
// what the bytes are meant for and is never replaced: it gets them all in commit(), and until then
// they are kept in memory.
#ifndef MODELLIB_FORMATS_OUTPUT_FILE_H_
#define MODELLIB_FORMATS_OUTPUT_FILE_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace modellib {

class OutputFile {
 public:
  // An error of the system, with the path and what the system says, as from all functions here.
  static absl::StatusOr<OutputFile> create(const std::string& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  absl::Status write(absl::Span<const std::byte> bytes);
  // Replaces the first bytes, which were written already. Nothing is written after it.
  absl::Status overwrite_start(absl::Span<const std::byte> bytes);

  enum class Durability { kCached, kOnDisk };
  // Puts the file in its place. Called once, last. kOnDisk: it survives a loss of power.
  absl::Status commit(Durability durability);

 private:
  explicit OutputFile(std::string path) : path_(std::move(path)) {}
  absl::Status error(absl::string_view what) const;
  absl::Status write_in_place();

  std::string path_;       // of the file itself, not of links to it
  std::string temporary_;  // empty: written in place, from held_
  int descriptor_ = -1;
  std::vector<std::byte> held_;
};

}  // namespace modellib

#endif  // MODELLIB_FORMATS_OUTPUT_FILE_H_
