// What a progress bar writes where there is no terminal: one line for each bar.
#include "modellib/frontends/training/progress_bar.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace modellib::training {
namespace {

std::string written(const std::function<void(std::FILE*)>& write) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* const stream = open_memstream(&text, &size);
  write(stream);
  std::fclose(stream);
  const std::string result(text, size);
  std::free(text);
  return result;
}

TEST(ProgressBar, WritesOneLineWhenDone) {
  EXPECT_EQ(written([](std::FILE* stream) {
              ProgressBar bar("epoch 1/2", 10, stream);
              for (int i = 0; i <= 10; ++i) bar.update(i, "loss 0.5");
              bar.finish("loss 0.4");
            }),
            "epoch 1/2 [########################] 10/10  loss 0.4\n");
}

TEST(ProgressBar, TakesATotalOfNothing) {
  EXPECT_EQ(written([](std::FILE* stream) { ProgressBar("empty", 0, stream).finish(); }),
            "empty [########################] 1/1  \n");
}

}  // namespace
}  // namespace modellib::training
