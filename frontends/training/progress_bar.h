// A line on a terminal that tells how far an epoch is; plain lines where the stream is no terminal.
#ifndef MODELLIB_FRONTENDS_TRAINING_PROGRESS_BAR_H_
#define MODELLIB_FRONTENDS_TRAINING_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"

namespace modellib::training {

class ProgressBar {
 public:
  // Draws to `stream`, which must outlive it: "epoch 3/30 [#####.....] 62/125  loss 0.4123".
  ProgressBar(std::string title, int64_t total, std::FILE* stream = stdout);

  // Redraws at most 20 times a second, and only on a terminal.
  void update(int64_t done, absl::string_view note = "");
  // Ends the line, with a last note.
  void finish(absl::string_view note = "");

 private:
  void draw(int64_t done, absl::string_view note);

  std::string title_;
  int64_t total_;
  std::FILE* stream_;
  bool terminal_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace modellib::training

#endif  // MODELLIB_FRONTENDS_TRAINING_PROGRESS_BAR_H_
