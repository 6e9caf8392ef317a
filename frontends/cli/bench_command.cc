#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/dims.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/frontends/cli/output.h"
#include "modellib/frontends/cli/sample_inputs.h"
#include "modellib/frontends/cli/timing.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

struct Options {
  std::string model, entry;
  DimRanges dims;
  int threads = 0;
  double seconds = 2;
  bool json = false;
};

absl::Status bench(const Options& options) {
  const Clock::time_point start = Clock::now();
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile file, load_file(options.model, /*trusted=*/true));
  MODELLIB_RETURN_IF_ERROR(check_dims(file, options.dims));
  MODELLIB_ASSIGN_OR_RETURN(auto plan, plan_for_cpu(file, options.entry, options.dims));
  MODELLIB_ASSIGN_OR_RETURN(CpuSession cpu, start_on_cpu(std::move(plan), options.threads));
  MODELLIB_ASSIGN_OR_RETURN(const std::string name,
                            choose_entry(entry_names(*cpu.executable), options.entry));
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, cpu.executable->entry(name));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs,
                            sample_inputs(*cpu.executable, entry, options.dims));
  MODELLIB_RETURN_IF_ERROR(bind_inputs(*cpu.session, entry, inputs, options.dims));
  MODELLIB_RETURN_IF_ERROR(cpu.session->prepare(entry));
  const double load_ms = milliseconds_since(start);

  MODELLIB_RETURN_IF_ERROR(cpu.session->run(entry));  // touches all memory
  // Before the list of times grows.
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);

  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point before = Clock::now();
    MODELLIB_RETURN_IF_ERROR(cpu.session->run(entry));
    times.push_back(milliseconds_since(before));
  } while (milliseconds_since(begin) < options.seconds * 1000);
  std::sort(times.begin(), times.end());

  const runtime::EntryInfo& info = cpu.executable->info(entry);
  const Json result = {
      {"median_ms", quantile(times, 0.5)},
      {"min_ms", times.front()},
      {"p90_ms", quantile(times, 0.9)},
      {"load_ms", load_ms},
      {"runs", times.size()},
      {"planned_bytes", info.planned_bytes},
      {"lower_bound_bytes", info.lower_bound_bytes},
      {"peak_rss_bytes", static_cast<int64_t>(usage.ru_maxrss) * 1024},
  };
  if (options.json) {
    print_text(json_text(result) + "\n");
    return absl::OkStatus();
  }
  for (const auto& [key, value] : result.items()) {
    print_text(absl::StrFormat("%-18s %s\n", key, json_text(value)));
  }
  return absl::OkStatus();
}

}  // namespace

void add_bench_command(CLI::App& app, Outcome& outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measures a model on made-up inputs. The file is trusted, and mapped");
  command->add_option("MODEL", options->model, "ONNX, native or text model, or plan")->required();
  add_dim_option(*command, options->dims);
  command->add_option("--entry", options->entry, "Of a program with several")->type_name("NAME");
  command->add_option("--threads", options->threads, "0: one for each core")
      ->check(CLI::Range(0, 1024))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "How long to measure")
      ->check(finite_number(0, 3600))
      ->type_name("S")
      ->capture_default_str();
  command->add_flag("--json", options->json, "For programs to read");
  set_examples(*command, {"modellib bench model.mltxt --dim batch=4 --threads 1 --seconds 0.1",
                          "modellib bench model.mlplan --seconds 0.1 --json"});
  command->callback([options, &outcome] { outcome = bench(*options); });
}

}  // namespace modellib::cli
