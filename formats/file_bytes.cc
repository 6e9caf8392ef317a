#include "modellib/formats/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/formats/output_file.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

absl::Status system_error(const std::string& path, absl::string_view what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
}

// Closes a file descriptor when it goes out of scope.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// Of the machine.
uint64_t memory_bytes() {
  const auto pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return std::numeric_limits<uint64_t>::max();
  return static_cast<uint64_t>(pages) * static_cast<uint64_t>(page);
}

absl::Status too_large(const std::string& path) {
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot read ", path, ": memory does not hold its content"));
}

absl::StatusOr<std::string> read_all(const File& file, uint64_t expected, const std::string& path) {
  std::string bytes;
  bytes.reserve(static_cast<size_t>(expected));
  std::vector<char> block(size_t{1} << 16);
  while (true) {
    const ssize_t got = ::read(file.fd(), block.data(), block.size());
    if (got == 0) return bytes;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path, "cannot read");
    bytes.append(block.data(), static_cast<size_t>(got));
  }
}

}  // namespace

absl::StatusOr<std::string> read_file(const std::string& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info = {};
  if (file.fd() < 0 || ::fstat(file.fd(), &info) != 0) return system_error(path, "cannot read");
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": it is a directory"));
  }
  // A sparse file says any size and takes no space; where memory is promised freely, asking for so
  // much would succeed.
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > memory_bytes()) return too_large(path);
  try {
    return read_all(file, size, path);
  } catch (const std::bad_alloc&) {
    return too_large(path);
  }
}

absl::Status write_file(const std::string& path, absl::string_view bytes) {
  MODELLIB_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  MODELLIB_RETURN_IF_ERROR(
      file.write({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}));
  return file.commit(OutputFile::Durability::kCached);
}

}  // namespace modellib
