// Real models, optimised and not: diff says that outputs, and all values which both have, are the
// same.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/npy.h"
#include "modellib/frontends/cli/diff.h"
#include "modellib/passes/pipeline.h"
#include "modellib/tests/onnx/model_golden.h"

namespace modellib::cli {
namespace {

struct Case {
  const char* model;
  int least;  // values that are to be compared: a comparison of nothing finds nothing
  double atol = 1e-4;
  // Between inputs and outputs roundings add up, and nothing has brought values back to a range.
  double inner_atol = atol;
};

class RealModels : public testing::TestWithParam<Case> {};

// The inputs of the smallest golden run, as files.
std::vector<std::string> input_files(const std::string& model) {
  const auto golden = load_model_golden(absl::StrCat("tests/onnx/goldens/", model, ".json"));
  EXPECT_TRUE(golden.ok()) << golden.status();
  const ModelGolden::Run* smallest = nullptr;
  int64_t least = 0;
  for (const ModelGolden::Run& run : golden->runs) {
    int64_t elements = 0;
    for (const auto& input : run.inputs) elements += input.tensor.elements();
    if (smallest == nullptr || elements < least) {
      smallest = &run;
      least = elements;
    }
  }
  std::vector<std::string> arguments;
  for (size_t i = 0; i < smallest->inputs.size(); ++i) {
    const std::string path = absl::StrCat(testing::TempDir(), "/", model, "_", i, ".npy");
    EXPECT_TRUE(write_npy(path, smallest->inputs[i].tensor).ok());
    arguments.push_back(absl::StrCat(smallest->inputs[i].name, "=", path));
  }
  return arguments;
}

TEST_P(RealModels, AreTheSameUnoptimised) {
  const Case& c = GetParam();
  DiffOptions options;
  options.a.file = options.b.file = absl::StrCat("external/models/", c.model, ".onnx");
  for (const std::string& pass : default_pipeline()) {
    if (!is_mandatory_pass(pass)) options.b.disabled.push_back(pass);
  }
  options.inputs = input_files(c.model);
  options.tolerance.absolute = c.atol;
  const auto strict = diff(options);
  ASSERT_TRUE(strict.ok()) << strict.status();
  for (const DiffReport::Difference& d : strict->differences) {
    EXPECT_FALSE(absl::StartsWith(d.value, "output ")) << d.value;
  }
  options.tolerance.absolute = c.inner_atol;
  const auto report = c.inner_atol == c.atol ? strict : diff(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->differences.empty()) << diff_text(*report, options.tolerance);
  EXPECT_GE(report->compared, c.least);
  EXPECT_LE(report->values_a, report->values_b) << "optimising left more in memory";
  EXPECT_FALSE(report->first_nan_a.has_value()) << diff_text(*report, options.tolerance);
  std::printf("%s: %s", c.model, diff_text(*report, options.tolerance).c_str());
}

INSTANTIATE_TEST_SUITE_P(All, RealModels,
                         testing::Values(Case{"minilm", 10}, Case{"ocr_cls", 10},
                                         Case{"ocr_det", 10, 1e-4, 1e-3}, Case{"ocr_rec", 10},
                                         Case{"silero_vad", 5}, Case{"magika", 5},
                                         Case{"basic_pitch", 5, 5e-3}, Case{"attacut", 3},
                                         Case{"captcha", 10}, Case{"seizure", 3},
                                         Case{"spindle", 10}, Case{"yolo", 10, 1e-4, 1e-3}),
                         [](const auto& info) { return std::string(info.param.model); });

}  // namespace
}  // namespace modellib::cli
