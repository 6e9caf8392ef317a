#include "modellib/formats/output_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

// Where the links at `path` lead, whether or not there is something.
std::string follow_links(const std::string& path) {
  constexpr int kMaxLinks = 40;  // as many as Linux follows
  std::filesystem::path at = path;
  for (int i = 0; i < kMaxLinks; ++i) {
    std::error_code no_link;
    const std::filesystem::path target = std::filesystem::read_symlink(at, no_link);
    if (no_link) break;
    at = at.parent_path() / target;  // an absolute target is all there is
  }
  return at.string();
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// False with errno set.
bool write_all(int descriptor, absl::Span<const std::byte> bytes) {
  constexpr size_t kMost = size_t{1} << 30;  // Linux takes no more than 2 GiB at once
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(descriptor, bytes.data(), std::min(bytes.size(), kMost));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

// While one is alive, a pipe that nobody reads any more is an error of write, on this thread, and
// does not end the process.
class NoBrokenPipe {
 public:
  NoBrokenPipe() {
    sigset_t pending;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoBrokenPipe() {
    const int error = errno;
    const timespec at_once = {};
    if (!was_pending_) {
      while (sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

// What was renamed into the folder reaches the disk with it. Not all file systems have folders that
// can be synchronised: that is no error.
void synchronise_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);
  ::close(directory);
}

}  // namespace

absl::StatusOr<OutputFile> OutputFile::create(const std::string& path) {
  struct stat old = {};
  const bool exists = ::stat(path.c_str(), &old) == 0;
  if (!exists && errno != ENOENT) return OutputFile(path).error("cannot write");
  if (exists && S_ISDIR(old.st_mode)) {
    errno = EISDIR;
    return OutputFile(path).error("cannot write");
  }
  if (exists && !S_ISREG(old.st_mode)) return OutputFile(path);
  OutputFile file(follow_links(path));
  struct stat found = {};
  // A link of /proc may lead to a file that has no name any more.
  if (exists && (::stat(file.path_.c_str(), &found) != 0 || !same_file(old, found))) {
    file.path_ = path;
    return file;
  }
  static std::atomic<uint64_t> serial{0};
  // The process's number keeps two writers of one path apart.
  std::string temporary =
      absl::StrCat(file.path_, ".", ::getpid(), ".", serial.fetch_add(1), ".tmp");
  file.descriptor_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file.descriptor_ < 0) return file.error("cannot write");
  file.temporary_ = std::move(temporary);
  constexpr mode_t kPermissions = 0777;
  if (exists && ::fchmod(file.descriptor_, old.st_mode & kPermissions) != 0) {
    return file.error("cannot write");
  }
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      held_(std::move(other.held_)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

absl::Status OutputFile::error(absl::string_view what) const {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path_));
}

absl::Status OutputFile::write(absl::Span<const std::byte> bytes) {
  if (temporary_.empty()) {
    held_.insert(held_.end(), bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  return write_all(descriptor_, bytes) ? absl::OkStatus() : error("cannot write");
}

absl::Status OutputFile::overwrite_start(absl::Span<const std::byte> bytes) {
  if (temporary_.empty()) {
    std::copy(bytes.begin(), bytes.end(), held_.begin());
    return absl::OkStatus();
  }
  return ::lseek(descriptor_, 0, SEEK_SET) == 0 && write_all(descriptor_, bytes)
             ? absl::OkStatus()
             : error("cannot write");
}

absl::Status OutputFile::write_in_place() {
  // O_NOCTTY: a terminal that is written to does not become the process's own.
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
  if (descriptor_ < 0) return error("cannot write");
  const NoBrokenPipe no_broken_pipe;
  if (!write_all(descriptor_, held_)) return error("cannot write");
  return ::close(std::exchange(descriptor_, -1)) == 0 ? absl::OkStatus() : error("cannot write");
}

absl::Status OutputFile::commit(Durability durability) {
  if (temporary_.empty()) return write_in_place();
  const bool on_disk = durability == Durability::kOnDisk;
  if (on_disk && ::fsync(descriptor_) != 0) return error("cannot write");
  if (::close(std::exchange(descriptor_, -1)) != 0) return error("cannot write");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) return error("cannot replace");
  temporary_.clear();
  if (on_disk) synchronise_folder_of(path_);
  return absl::OkStatus();
}

}  // namespace modellib
