#include "modellib/frontends/cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace modellib::cli {
namespace {

// Of the first write that failed: later ones may give no reason.
int first_error = 0;

}  // namespace

std::string json_text(const Json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

void print_text(absl::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && first_error == 0) {
    first_error = errno;
  }
}

void prepare_output() {
  std::signal(SIGPIPE, SIG_IGN);
  // The lowest free number is taken: each turn closes one gap. What is opened the wrong way round
  // fails when it is used, as a closed stream would.
  for (int file = STDIN_FILENO; file <= STDERR_FILENO; ++file) {
    if (fcntl(file, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return;
  }
}

absl::Status finish_output() {
  // Not closed: the C++ streams flush it once more at the end of the program.
  const bool flushed = std::fflush(stdout) == 0;
  if (!flushed && first_error == 0) first_error = errno;
  if (flushed && std::ferror(stdout) == 0) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("cannot write to the standard output",
                   first_error == 0 ? "" : absl::StrCat(": ", std::strerror(first_error))));
}

}  // namespace modellib::cli
