#include <map>
#include <string>

#include "modellib/frontends/cli/profile.h"

namespace modellib::cli {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

Json describe_profile(const Profile& profile) {
  double sum = 0;
  for (const StepProfile& s : profile.steps) {
    if (!s.holds_others()) sum += s.milliseconds;
  }
  Json out = {{"entry", profile.entry},
              {"runs", profile.runs},
              {"threads", profile.limits.threads},
              {"median_ms", profile.median_ms},
              {"steps_ms", sum},
              {"limits",
               {{"gflops", profile.limits.flops_per_second * 1e-9},
                {"gbytes_per_second", profile.limits.bytes_per_second * 1e-9}}},
              {"kernels", Json::array()},
              {"steps", Json::array()}};
  struct Sum {
    int steps = 0;
    double milliseconds = 0;
    cpu::StepWork work;
  };
  const auto rates = [&](Json& row, double milliseconds, const cpu::StepWork& work) {
    const double seconds = milliseconds * 1e-3;
    const double flops = ratio(work.flops, seconds), bytes = ratio(work.bytes, seconds);
    row["share"] = ratio(milliseconds, sum);
    row["gflops"] = flops * 1e-9;
    row["of_peak"] = ratio(flops, profile.limits.flops_per_second);
    row["gbytes_per_second"] = bytes * 1e-9;
    row["of_memory"] = ratio(bytes, profile.limits.bytes_per_second);
  };
  std::map<std::string, Sum> kernels;
  for (const StepProfile& s : profile.steps) {
    Json row = {{"step", s.step},
                {"name", s.name},
                {"kernel", s.kernel},
                {"calls", s.calls},
                {"milliseconds", s.milliseconds}};
    if (s.holds_others()) {
      row["share"] = ratio(s.milliseconds, sum);
    } else {
      rates(row, s.milliseconds, s.work);
      Sum& kernel = kernels[s.kernel];
      ++kernel.steps;
      kernel.milliseconds += s.milliseconds;
      kernel.work.flops += s.work.flops;
      kernel.work.bytes += s.work.bytes;
    }
    out["steps"].push_back(std::move(row));
  }
  for (const auto& [name, kernel] : kernels) {
    Json row = {{"kernel", name}, {"steps", kernel.steps}, {"milliseconds", kernel.milliseconds}};
    rates(row, kernel.milliseconds, kernel.work);
    out["kernels"].push_back(std::move(row));
  }
  return out;
}

Json chrome_trace(const Profile& profile) {
  Json events = Json::array();
  events.push_back({{"name", "process_name"},
                    {"ph", "M"},
                    {"pid", 1},
                    {"args", {{"name", "modellib " + profile.entry}}}});
  for (const TracedCall& call : profile.trace) {
    const StepProfile& s = profile.steps[static_cast<size_t>(call.step)];
    Json args = {{"step", s.step}, {"kernel", s.kernel}};
    if (!s.holds_others() && s.calls > 0) {
      args["flops"] = s.work.flops / static_cast<double>(s.calls);
      args["bytes"] = s.work.bytes / static_cast<double>(s.calls);
    }
    events.push_back({{"name", s.name},
                      {"cat", s.kernel},
                      {"ph", "X"},
                      {"pid", 1},
                      {"tid", call.lane},
                      {"ts", call.start},
                      {"dur", call.duration},
                      {"args", std::move(args)}});
  }
  return {{"displayTimeUnit", "ns"}, {"traceEvents", std::move(events)}};
}

}  // namespace modellib::cli
