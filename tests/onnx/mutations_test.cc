// Real models with something wrong: cut short, and with bytes changed. Each is imported and
// compiled, or refused with a Status that names the place; soon, and without much memory.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/frontends/onnx/importer.h"
#include "modellib/graph/free_dims.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/bind_dims.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

// The structure of a model lies before its weights, and takes up few of its bytes: half of the
// changes are made there.
constexpr size_t kStructure = 40000;
constexpr int kCuts = 24, kChanges = 96;
constexpr int kCompileEach = 8;  // of those that can be imported

// A linear congruential generator (Knuth, volume 2, 3.3.4).
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  size_t below(size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state_ >> 33) % n;
  }

 private:
  uint64_t state_;
};

int64_t peak_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

// Messages name a part of the model by its number, or what the model lacks as a whole.
bool names_a_place(absl::string_view message) {
  for (const absl::string_view part : {"byte ", "node #", "initializer #", "input #", "output #"}) {
    for (size_t at = message.find(part); at != message.npos; at = message.find(part, at + 1)) {
      const absl::string_view rest = message.substr(at + part.size());
      if (!rest.empty() && absl::ascii_isdigit(static_cast<unsigned char>(rest[0]))) return true;
    }
  }
  for (const char* lacking :
       {"operator set", "opset_import", "IR version", "ir_version", "no graph"}) {
    if (absl::StrContains(message, lacking)) return true;
  }
  return false;
}

class Mutations : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto bytes = read_file(absl::StrCat("external/models/", GetParam(), ".onnx"));
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    bytes_ = *std::move(bytes);
  }

  // Whether it was taken.
  bool check(const std::string& bytes, const std::string& what) {
    const auto start = std::chrono::steady_clock::now();
    const auto model = onnx::import_model_bytes(bytes);
    absl::Status status = model.status();
    if (status.ok()) {
      expect_place(bind(*model), what);
      if (++imported_ % kCompileEach == 0) status = compile(model->program);
    } else {
      EXPECT_TRUE(status.code() == absl::StatusCode::kInvalidArgument ||
                  status.code() == absl::StatusCode::kUnimplemented)
          << what << ": " << status;
      expect_place(status, what);
    }
    EXPECT_NE(status.code(), absl::StatusCode::kInternal) << what << ": " << status;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60)) << what;
    return status.ok();
  }

  static void expect_place(const absl::Status& status, const std::string& what) {
    EXPECT_TRUE(status.ok() || names_a_place(status.message())) << what << ": " << status;
  }

  // To extents that nothing says are equal, large enough for the models as they are.
  static absl::Status bind(const Model& model) {
    const GraphRef& graph = model.program.entries[0].graph;
    DimRanges dims = bounds_of_free_dims(*graph, {8, 8});
    int64_t next = 64;
    for (auto& [symbol, range] : dims) range.min = range.max = std::max(range.min, next++);
    return bind_dims(graph, builtin_ops(), dims).status();
  }

  static absl::Status compile(const Program& program) {
    CompileOptions options;
    options.dims = bounds_of_free_dims(*program.entries[0].graph, {0, 8});
    return compile_for_cpu(program, options).status();
  }

  std::string bytes_;
  int imported_ = 0;
};

TEST_P(Mutations, AreTakenOrRefused) {
  ASSERT_TRUE(check(bytes_, "as it is"));
  const int64_t peak = peak_bytes();
  Numbers numbers(7);
  for (int i = 0; i < kCuts; ++i) {
    const size_t kept = i < kCuts / 2 ? numbers.below(std::min(kStructure, bytes_.size()))
                                      : numbers.below(bytes_.size());
    EXPECT_FALSE(check(bytes_.substr(0, kept), absl::StrCat("cut at ", kept)));
  }
  int taken = 0;
  for (int i = 0; i < kChanges; ++i) {
    std::string changed = bytes_;
    std::string what = "changed at";
    const size_t count = 1 + numbers.below(4);
    for (size_t c = 0; c < count; ++c) {
      const size_t at =
          numbers.below(i % 2 == 0 ? std::min(kStructure, changed.size()) : changed.size());
      changed[at] = static_cast<char>(numbers.below(256));
      absl::StrAppend(&what, " ", at);
    }
    taken += check(changed, what) ? 1 : 0;
  }
  // Both happen: in the weights most bytes may be any.
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, kChanges);
  EXPECT_LT(peak_bytes() - peak, int64_t{2} << 30);
  std::printf("%s: %d of %d changed models were taken, %d cut ones refused\n", GetParam(), taken,
              kChanges, kCuts);
}

INSTANTIATE_TEST_SUITE_P(All, Mutations,
                         testing::Values("attacut", "ocr_cls", "silero_vad", "seizure"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace modellib
