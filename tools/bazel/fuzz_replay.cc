// The main of a fuzz target in an ordinary build: feeds LLVMFuzzerTestOneInput each file of the
// corpus as it is, cut short at many places, and with bytes changed; then bytes that are wholly
// random, and such behind the beginning of a file. All comes from a fixed seed, so a run is
// repeatable, and is bounded, so it is short. What libFuzzer finds goes into the corpus and is
// thereby replayed here.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kTruncations = 128;
constexpr size_t kChanges = 256;
constexpr size_t kRandomFiles = 64;
constexpr size_t kRandomBytes = 4096;

// The input lies in a block of exactly its own size, so that a sanitizer sees the first byte read
// beyond it.
void feed(const std::vector<uint8_t>& bytes) {
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

void feed_truncated(const std::vector<uint8_t>& bytes) {
  const size_t step = std::max<size_t>(1, bytes.size() / kTruncations);
  for (size_t length = 0; length < bytes.size(); length += step) {
    feed(std::vector<uint8_t>(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)));
  }
}

// One to four bytes at once: a flipped bit, an extreme value, a value copied from elsewhere in the
// file.
void feed_changed(const std::vector<uint8_t>& bytes, std::mt19937& random) {
  constexpr uint8_t kExtremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  if (bytes.empty()) return;
  for (size_t i = 0; i < kChanges; ++i) {
    std::vector<uint8_t> changed = bytes;
    for (size_t n = 1 + random() % 4; n > 0; --n) {
      uint8_t& byte = changed[random() % changed.size()];
      switch (random() % 3) {
        case 0:
          byte = static_cast<uint8_t>(byte ^ (1u << (random() % 8)));
          break;
        case 1:
          byte = kExtremes[random() % std::size(kExtremes)];
          break;
        default:
          byte = changed[random() % changed.size()];
      }
    }
    feed(changed);
  }
}

// The first `keep` bytes of a file, then random ones.
void feed_random(const std::vector<uint8_t>& bytes, size_t keep, std::mt19937& random) {
  std::vector<uint8_t> noise(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(keep));
  for (size_t n = random() % kRandomBytes; n > 0; --n) {
    noise.push_back(static_cast<uint8_t>(random()));
  }
  feed(noise);
}

}  // namespace

int main(int argc, char** argv) {
  size_t files = 0;
  std::mt19937 random(20260101);
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)),
                               std::istreambuf_iterator<char>());
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", argv[i]);
      return 1;
    }
    std::fprintf(stderr, "replaying %s (%zu bytes)\n", argv[i], bytes.size());
    feed(bytes);
    feed_truncated(bytes);
    feed_changed(bytes, random);
    for (size_t n = 0; n < kRandomFiles && !bytes.empty(); ++n) {
      feed_random(bytes, random() % bytes.size(), random);
    }
    ++files;
  }
  if (files == 0) {
    std::fprintf(stderr, "the corpus is empty\n");
    return 1;
  }
  for (size_t n = 0; n < kRandomFiles; ++n) feed_random({}, 0, random);
  std::fprintf(stderr, "%zu files replayed\n", files);
  return 0;
}
