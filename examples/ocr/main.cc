// Prints the text in pictures: ocr build/data/models PICTURE.png...
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "modellib/examples/ocr/ocr.h"

namespace modellib::examples {
namespace {

int read_pictures(const std::string& models, const std::vector<std::string>& pictures) {
  const unsigned cores = std::thread::hardware_concurrency();
  api::Result<Ocr> ocr = Ocr::load(models, cores == 0 ? 1 : static_cast<int>(cores));
  if (!ocr) {
    std::fprintf(stderr, "ocr: %s\n", ocr.status().message().c_str());
    return 1;
  }
  int failures = 0;
  const std::vector<Page> pages = ocr->read(pictures);
  for (size_t i = 0; i < pages.size(); ++i) {
    std::printf("%s\n", pictures[i].substr(pictures[i].rfind('/') + 1).c_str());
    api::Status status = pages[i].status;
    for (const Line& line : pages[i].lines) {
      if (!line.status) status = line.status;
      std::printf("  %s%s\n", line.text.c_str(), line.turned ? "  (upside down)" : "");
    }
    if (status) continue;
    std::fprintf(stderr, "ocr: %s\n", status.message().c_str());
    ++failures;
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace modellib::examples

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: ocr MODELS PICTURE...\n");
    return 2;
  }
  return modellib::examples::read_pictures(argv[1], {argv + 2, argv + argc});
}
