// How often the weights of a plan lie in memory when many processes run it: share_weights PLAN
// [PROCESSES]
//
// Starts so many processes (20), each of which loads the plan, runs its first entry and waits; then
// adds up what the kernel says of their memory. Exit code 0 if the file's pages are held once, and
// what each process has for itself stays below the file's size by far. Inputs are zeros, of the
// largest extents.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "modellib/modellib.hpp"

namespace ml = modellib::api;

namespace {

int run_and_wait(const std::string& path, int ready, int end) {
  auto plan = ml::Plan::load(path);
  if (!plan) {
    std::fprintf(stderr, "%s\n", plan.status().message().c_str());
    return 1;
  }
  ml::SessionOptions options;
  options.threads = 1;
  auto session = ml::Session::create(*plan, options);
  auto entry = plan->entry_info(0);
  if (!session || !entry) return 1;
  std::vector<std::vector<char>> inputs;
  for (int32_t i = 0; i < entry->inputs; ++i) {
    auto info = plan->input_info(0, i);
    if (!info) return 1;
    inputs.emplace_back(info->max_bytes);
    const ml::Status bound = session->bind_input(0, i, inputs.back().data(), info->max_extents,
                                                 static_cast<size_t>(info->rank));
    if (!bound) return 1;
  }
  if (const ml::Status status = session->run(0); !status) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  char token = 'r';
  if (write(ready, &token, 1) != 1) return 1;
  close(ready);                              // so that nobody waits for one that failed
  return read(end, &token, 1) == 0 ? 0 : 1;  // until the parent closes its end
}

struct Memory {
  uint64_t shared_pss = 0;  // of the plan's pages, each divided by those who map it
  uint64_t shared_rss = 0;
  uint64_t own = 0;  // anonymous
};

Memory memory_of(pid_t process, const std::string& path) {
  std::ifstream smaps("/proc/" + std::to_string(process) + "/smaps");
  Memory memory;
  bool of_plan = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream words(line);
    std::string key;
    uint64_t kilobytes = 0;
    words >> key;
    if (key.find('-') != std::string::npos) {
      of_plan = line.size() >= path.size() &&
                line.compare(line.size() - path.size(), path.size(), path) == 0;
    } else if (words >> kilobytes) {
      if (key == "Pss:" && of_plan) memory.shared_pss += kilobytes * 1024;
      if (key == "Rss:" && of_plan) memory.shared_rss += kilobytes * 1024;
      if (key == "Anonymous:") memory.own += kilobytes * 1024;
    }
  }
  return memory;
}

double megabytes(uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  char* const resolved = realpath(argv[1], nullptr);
  if (resolved == nullptr) return 2;
  const std::string path = resolved;
  std::free(resolved);
  const int processes = argc > 2 ? std::atoi(argv[2]) : 20;
  int ready[2], end[2];
  if (pipe(ready) != 0 || pipe(end) != 0) return 2;
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      close(end[1]);
      close(ready[0]);
      _exit(run_and_wait(path, ready[1], end[0]));
    }
    children.push_back(child);
  }
  close(ready[1]);
  char token;
  int started = 0;
  while (started < processes && read(ready[0], &token, 1) == 1) ++started;
  Memory sum;
  for (const pid_t child : children) {
    const Memory memory = memory_of(child, path);
    sum.shared_pss += memory.shared_pss;
    sum.shared_rss += memory.shared_rss;
    sum.own += memory.own;
  }
  close(end[1]);
  int failed = started == processes ? 0 : 1;
  for (const pid_t child : children) {
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) failed = 1;
  }
  const auto size = static_cast<uint64_t>(std::ifstream(path, std::ios::ate).tellg());
  const auto count = static_cast<uint64_t>(processes);
  std::printf(
      "%d processes, plan of %.1f MB: the plan's pages %.1f MB by PSS (%.1f MB in each), own %.2f "
      "MB each\n",
      processes, megabytes(size), megabytes(sum.shared_pss), megabytes(sum.shared_rss / count),
      megabytes(sum.own / count));
  // All of the weights were read, they lie in memory once, and nobody has a copy.
  if (sum.shared_rss / count < size / 2 || sum.shared_pss > size + size / 50 ||
      sum.own / count > size / 20) {
    failed = 1;
  }
  return failed;
}
