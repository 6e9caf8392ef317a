// ModelLib as a process that bench/compare drives, with the runtime alone, as a program that embeds
// it would; peer.py is the same for the others.
//
//   engine PLAN THREADS INPUT.npy ...
//
// It loads the plan, runs it once and prints a line of JSON. Then it reads commands, a line each,
// and answers each with a line:
//   run K        runs K times: the milliseconds of each, and the peak of the process's memory
//   write PREFIX writes output N to PREFIX.N.npy
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/formats/npy.h"
#include "modellib/formats/plan_file.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// "VmHWM" or "VmRSS".
long status_kib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, key.size() + 1, key + ":") == 0)
      return std::strtol(line.c_str() + key.size() + 1, nullptr, 10);
  }
  return 0;
}

absl::Status write_outputs(const runtime::Session& session, runtime::EntryId entry,
                           const std::string& prefix) {
  int i = 0;
  for (const runtime::TensorInfo& info : session.executable().info(entry).outputs) {
    // The models' shapes are fixed.
    MODELLIB_ASSIGN_OR_RETURN(
        const Tensor tensor,
        Tensor::copy_of(info.dtype, session.output_extents(entry, i), session.output_data(entry, i),
                        static_cast<size_t>(info.bytes)));
    MODELLIB_RETURN_IF_ERROR(write_npy(absl::StrCat(prefix, ".", i, ".npy"), tensor));
    ++i;
  }
  return absl::OkStatus();
}

absl::Status serve(const std::string& plan, int threads, const std::vector<std::string>& paths) {
  std::vector<Tensor> inputs;
  for (const std::string& path : paths) {
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, read_npy(path));
    inputs.push_back(std::move(tensor));
  }
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak so far is forgotten
  const long start_up = status_kib("VmRSS");

  const Clock::time_point start = Clock::now();
  MODELLIB_ASSIGN_OR_RETURN(const auto file, PlanFile::open(plan, {.trusted = true}));
  MODELLIB_ASSIGN_OR_RETURN(const auto executable,
                            runtime::Executable::load(file, cpu::cpu_kernel_table()));
  runtime::SessionOptions options;
  options.threads = threads;
  MODELLIB_ASSIGN_OR_RETURN(const auto session,
                            runtime::Session::create(executable, nullptr, std::move(options)));
  const runtime::EntryId entry(0);
  for (size_t i = 0; i < inputs.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(session->bind_input(entry, static_cast<int>(i), inputs[i]));
  }
  MODELLIB_RETURN_IF_ERROR(session->prepare(entry));
  const double ready = milliseconds_since(start);
  MODELLIB_RETURN_IF_ERROR(session->run(entry));
  const double first = milliseconds_since(start);
  std::cout << "{\"start_up_kib\": " << start_up << ", \"ready_ms\": " << ready
            << ", \"first_ms\": " << first << "}" << std::endl;

  for (std::string command, argument; std::cin >> command >> argument;) {
    if (command == "run") {
      std::vector<double> times(static_cast<size_t>(std::atoi(argument.c_str())));
      for (double& time : times) {
        const Clock::time_point before = Clock::now();
        MODELLIB_RETURN_IF_ERROR(session->run(entry));
        time = milliseconds_since(before);
      }
      std::cout << "{\"ms\": [" << absl::StrJoin(times, ", ")
                << "], \"peak_kib\": " << status_kib("VmHWM") << "}" << std::endl;
    } else if (command == "write") {
      MODELLIB_RETURN_IF_ERROR(write_outputs(*session, entry, argument));
      std::cout << "{}" << std::endl;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("no command '", command, "'"));
    }
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: engine PLAN THREADS INPUT.npy ...\n";
    return 2;
  }
  const absl::Status status =
      modellib::serve(argv[1], std::atoi(argv[2]), std::vector<std::string>(argv + 3, argv + argc));
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
