#include "modellib/frontends/cli/graphviz.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/graph/status_macros.h"

extern char** environ;

namespace modellib::cli {

absl::Status write_svg(absl::string_view dot, const std::string& path) {
  std::string source = path + ".dot";
  MODELLIB_RETURN_IF_ERROR(write_file(source, dot));
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
