// The main job: train a classifier of handwritten digits, compile it to a plan file, and classify
// with that file in another process.
//
//   mnist train DATA PLAN LOGITS     trains, writes the plan, and the validation digits' logits
//   mnist classify DATA PLAN LOGITS  loads the plan and expects the same logits, to the last bit
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "modellib/examples/mnist/digits.h"
#include "modellib/examples/mnist/training.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/formats/npy.h"
#include "modellib/formats/plan_file.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/compile.h"

namespace modellib::examples {
namespace {

// The plan's session and its entry, and what it says of all digits at once.
struct Classifier {
  std::unique_ptr<runtime::Session> session;
  runtime::EntryId entry;
};

absl::StatusOr<Classifier> load(const std::string& plan) {
  MODELLIB_ASSIGN_OR_RETURN(const std::shared_ptr<const PlanFile> file, PlanFile::open(plan));
  MODELLIB_ASSIGN_OR_RETURN(const std::shared_ptr<const runtime::Executable> executable,
                            runtime::Executable::load(file, cpu::cpu_kernel_table()));
  Classifier classifier;
  MODELLIB_ASSIGN_OR_RETURN(classifier.entry, executable->entry("main"));
  MODELLIB_ASSIGN_OR_RETURN(classifier.session, runtime::Session::create(executable));
  return classifier;
}

absl::Status train(const std::string& data, const std::string& plan, const std::string& logits) {
  MODELLIB_ASSIGN_OR_RETURN(const Digits digits, read_digits(data, "train"));
  MODELLIB_ASSIGN_OR_RETURN(const Digits validation, read_digits(data, "validation"));
  MODELLIB_ASSIGN_OR_RETURN(const DigitsTraining trained, train_on_digits(digits, validation));
  std::printf("trained in %.1f s, validation accuracy %.2f%%\n", trained.seconds,
              100 * trained.accuracy);

  CompileOptions options;
  options.dims["batch"] = {1, 1000};
  MODELLIB_ASSIGN_OR_RETURN(
      const CompileResult compiled,
      compile(Program{{{"main", trained.frozen}}}, builtin_ops(), cpu::cpu_backend(), options));
  MODELLIB_ASSIGN_OR_RETURN(const std::shared_ptr<const PlanFile> file,
                            make_plan_file(compiled.lowered));
  MODELLIB_RETURN_IF_ERROR(file->write(plan));

  MODELLIB_ASSIGN_OR_RETURN(Classifier classifier, load(plan));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs,
                            classifier.session->run_tensors(classifier.entry, {validation.images}));
  MODELLIB_RETURN_IF_ERROR(write_npy(logits, outputs[0]));
  std::printf("compiled to %s\n", plan.c_str());
  return absl::OkStatus();
}

absl::Status classify(const std::string& data, const std::string& plan, const std::string& logits) {
  MODELLIB_ASSIGN_OR_RETURN(const Digits validation, read_digits(data, "validation"));
  MODELLIB_ASSIGN_OR_RETURN(const Tensor expected, read_npy(logits));
  MODELLIB_ASSIGN_OR_RETURN(Classifier classifier, load(plan));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs,
                            classifier.session->run_tensors(classifier.entry, {validation.images}));
  if (!outputs[0].identical(expected)) {
    return absl::InternalError("the logits differ from those of the process that trained");
  }
  std::printf("%d digits classified, the same to the last bit: accuracy %.2f%%\n",
              static_cast<int>(validation.labels.elements()),
              100 * accuracy_of(outputs[0], validation.labels));

  // One digit at a time, as an application would.
  const Tensor& images = validation.images;
  std::vector<double> microseconds;
  for (int64_t i = 0; i < images.shape()[0]; ++i) {
    MODELLIB_RETURN_IF_ERROR(classifier.session->bind_input(
        classifier.entry, 0, images.data() + i * 784 * static_cast<int64_t>(sizeof(float)),
        {1, 784}));
    const auto start = std::chrono::steady_clock::now();
    MODELLIB_RETURN_IF_ERROR(classifier.session->run(classifier.entry));
    microseconds.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::nth_element(microseconds.begin(), microseconds.begin() + microseconds.size() / 2,
                   microseconds.end());
  const runtime::EntryInfo& info = classifier.session->executable().info(classifier.entry);
  std::printf("latency of one digit %.1f us (median); %d steps\n",
              microseconds[microseconds.size() / 2], info.steps);
  std::printf(
      "planned %" PRIu64 " bytes for up to 1000 digits, lower bound %" PRIu64 " (ratio %.3f)\n",
      info.planned_bytes, info.lower_bound_bytes,
      info.lower_bound_bytes == 0
          ? 1.0
          : static_cast<double>(info.planned_bytes) / static_cast<double>(info.lower_bound_bytes));
  return absl::OkStatus();
}

int run(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (argc != 5 || (command != "train" && command != "classify")) {
    std::fprintf(stderr, "usage: mnist train|classify DATA_FOLDER PLAN_FILE LOGITS_FILE\n");
    return 2;
  }
  const absl::Status status =
      command == "train" ? train(argv[2], argv[3], argv[4]) : classify(argv[2], argv[3], argv[4]);
  if (!status.ok()) {
    std::fprintf(stderr, "mnist: %s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace modellib::examples

int main(int argc, char** argv) { return modellib::examples::run(argc, argv); }
