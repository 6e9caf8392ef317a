#include "modellib/frontends/cli/graphviz.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "modellib/formats/file_bytes.h"

extern char** environ;

namespace modellib::cli {

absl::Status write_svg(absl::string_view dot, const std::string& path) {
  std::error_code no_folder;
  std::string source =
      (std::filesystem::temp_directory_path(no_folder) / "modellib-XXXXXX").string();
  const int file = ::mkstemp(source.data());
  if (file < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", source));
  ::close(file);
  const absl::Status written = write_file(source, dot);
  if (!written.ok()) {
    ::unlink(source.c_str());
    return written;
  }
  std::string program = "dot", format = "-Tsvg", out = "-o", target = path;
  char* arguments[] = {program.data(), format.data(), out.data(),
                       target.data(),  source.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, "dot", nullptr, nullptr, arguments, environ);
  int result = 0;
  if (error == 0) {
    while (::waitpid(child, &result, 0) < 0 && errno == EINTR) {
    }
  }
  ::unlink(source.c_str());
  if (error == ENOENT) {
    return absl::UnimplementedError("drawing needs Graphviz: there is no program 'dot'");
  }
  if (error != 0) return absl::ErrnoToStatus(error, "cannot start 'dot'");
  if (!WIFEXITED(result) || WEXITSTATUS(result) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("'dot' could not write ", path));
  }
  return absl::OkStatus();
}

}  // namespace modellib::cli
