#include "modellib/frontends/training/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace modellib::training {
namespace {

constexpr int kWidth = 24;
constexpr std::chrono::milliseconds kInterval(50);

}  // namespace

ProgressBar::ProgressBar(std::string title, int64_t total, std::FILE* stream)
    : title_(std::move(title)),
      total_(std::max<int64_t>(1, total)),
      stream_(stream),
      terminal_(isatty(fileno(stream)) == 1) {}

void ProgressBar::update(int64_t done, absl::string_view note) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < kInterval) return;
  last_ = now;
  draw(done, note);
}

void ProgressBar::finish(absl::string_view note) {
  draw(total_, note);
  std::fputc('\n', stream_);
  std::fflush(stream_);
}

void ProgressBar::draw(int64_t done, absl::string_view note) {
  done = std::clamp<int64_t>(done, 0, total_);
  const auto filled = static_cast<int>(done * kWidth / total_);
  const std::string bar = std::string(static_cast<size_t>(filled), '#') +
                          std::string(static_cast<size_t>(kWidth - filled), '.');
  // The carriage return and the escape clear what was drawn before.
  std::fprintf(stream_, "%s%s [%s] %lld/%lld  %.*s", terminal_ ? "\r\033[K" : "", title_.c_str(),
               bar.c_str(), static_cast<long long>(done), static_cast<long long>(total_),
               static_cast<int>(note.size()), note.data());
  std::fflush(stream_);
}

}  // namespace modellib::training
