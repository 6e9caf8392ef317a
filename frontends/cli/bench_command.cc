#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/load_file.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, entry;
  DimRanges dims;
  int threads = 0;
  double seconds = 2;
  bool json = false;
};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// The smallest value that `fraction` of the sorted values do not exceed.
double quantile(const std::vector<double>& sorted, double fraction) {
  const auto rank = static_cast<size_t>(std::ceil(fraction * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

// Numbers in [0, 1) by a fixed rule; integers are zero, which is in range whatever they index.
absl::StatusOr<Tensor> sample_input(const runtime::TensorInfo& info, const Shape& shape) {
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<int64_t> extents, static_extents(shape));
  MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, Tensor::zeros(info.dtype, extents));
  if (!is_floating(info.dtype)) return tensor;
  uint32_t state = 12345;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    state = state * 1664525u + 1013904223u;
    tensor.set(i, static_cast<double>(state >> 8) / (1 << 24));
  }
  return tensor;
}

// Gives every free dimension the number that was asked for, else its maximum, and binds inputs.
absl::Status bind(CpuSession& cpu, runtime::EntryId entry, const DimRanges& dims) {
  const runtime::EntryInfo& info = cpu.executable->info(entry);
  std::vector<int64_t> values;
  std::vector<bool> bound(info.symbols.size(), false);
  for (const runtime::SymbolInfo& symbol : info.symbols) {
    const auto asked = dims.find(symbol.name);
    values.push_back(asked == dims.end() ? symbol.max : asked->second.max);
  }
  for (size_t i = 0; i < info.inputs.size(); ++i) {
    const runtime::TensorInfo& input = info.inputs[i];
    Shape shape;
    for (size_t d = 0; d < input.max_shape.size(); ++d) {
      const int symbol = input.symbols[d];
      if (symbol >= 0) bound[static_cast<size_t>(symbol)] = true;
      shape.push_back(symbol >= 0 ? values[static_cast<size_t>(symbol)] : input.max_shape[d]);
    }
    MODELLIB_ASSIGN_OR_RETURN(const Tensor tensor, sample_input(input, shape));
    MODELLIB_RETURN_IF_ERROR(cpu.session->bind_input(entry, static_cast<int>(i), tensor));
  }
  for (size_t s = 0; s < info.symbols.size(); ++s) {
    if (bound[s] || info.symbols[s].name[0] == '$') continue;
    MODELLIB_RETURN_IF_ERROR(cpu.session->set_symbol(entry, static_cast<int>(s), values[s]));
  }
  return absl::OkStatus();
}

absl::Status bench(const Options& options) {
  const Clock::time_point start = Clock::now();
  MODELLIB_ASSIGN_OR_RETURN(const LoadedFile file, load_file(options.model, /*trusted=*/true));
  MODELLIB_ASSIGN_OR_RETURN(auto plan, plan_for_cpu(file, options.dims));
  MODELLIB_ASSIGN_OR_RETURN(CpuSession cpu, start_on_cpu(std::move(plan), options.threads));
  MODELLIB_ASSIGN_OR_RETURN(const std::string name,
                            choose_entry(entry_names(*cpu.executable), options.entry));
  MODELLIB_ASSIGN_OR_RETURN(const runtime::EntryId entry, cpu.executable->entry(name));
  MODELLIB_RETURN_IF_ERROR(bind(cpu, entry, options.dims));
  MODELLIB_RETURN_IF_ERROR(cpu.session->prepare(entry));
  const double load_ms = milliseconds_since(start);

  MODELLIB_RETURN_IF_ERROR(cpu.session->run(entry));  // touches all memory
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point before = Clock::now();
    MODELLIB_RETURN_IF_ERROR(cpu.session->run(entry));
    times.push_back(milliseconds_since(before));
  } while (milliseconds_since(begin) < options.seconds * 1000);
  std::sort(times.begin(), times.end());

  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const runtime::EntryInfo& info = cpu.executable->info(entry);
  const nlohmann::ordered_json result = {
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
    std::printf("%s\n", result.dump(2).c_str());
    return absl::OkStatus();
  }
  for (const auto& [key, value] : result.items()) {
    std::printf("%-18s %s\n", key.c_str(), value.dump().c_str());
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
  command->add_option("--entry", options->entry, "Of a program with several");
  command->add_option("--threads", options->threads, "0: one for each core")
      ->check(CLI::Range(0, 1024));
  command->add_option("--seconds", options->seconds, "How long to measure")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_flag("--json", options->json, "For programs to read");
  command->callback([options, &outcome] { outcome = bench(*options); });
}

}  // namespace modellib::cli
