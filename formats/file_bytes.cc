#include "modellib/formats/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"

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
  bool close() {
    const int result = ::close(fd_);
    fd_ = -1;
    return result == 0;
  }

 private:
  int fd_;
};

}  // namespace

absl::StatusOr<std::string> read_file(const std::string& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info = {};
  if (file.fd() < 0 || ::fstat(file.fd(), &info) != 0) return system_error(path, "cannot read");
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": it is a directory"));
  }
  std::string bytes;
  bytes.reserve(static_cast<size_t>(info.st_size));
  std::vector<char> block(size_t{1} << 16);
  while (true) {
    const ssize_t got = ::read(file.fd(), block.data(), block.size());
    if (got == 0) return bytes;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path, "cannot read");
    bytes.append(block.data(), static_cast<size_t>(got));
  }
}

absl::Status write_file(const std::string& path, absl::string_view bytes) {
  // The process's number keeps two writers of one path apart.
  const std::string temporary = absl::StrCat(path, ".tmp", ::getpid());
  File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.fd() < 0) return system_error(path, "cannot write");
  const auto fail = [&] {
    const absl::Status status = system_error(path, "cannot write");
    ::unlink(temporary.c_str());
    return status;
  };
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(file.fd(), bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return fail();
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  if (!file.close() || std::rename(temporary.c_str(), path.c_str()) != 0) return fail();
  return absl::OkStatus();
}

}  // namespace modellib
