// Whether sessions of one process are in each other's way: two sessions in one process, each on a
// thread of its own, against two processes of one thread each.
//
//   bazel run -c opt //bench:two_sessions -- [--rounds 9] [--seconds 1] PLAN...
//
// Both ways run in alternation, in processes of their own that begin to work at once. The work of a
// way is the sum over its sessions of runs a second. Printed for each plan: the median of both, and
// the median over the rounds of what two sessions do by what two processes do. Exit code 0 if that
// is at least 0.95 for all plans.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "modellib/modellib.hpp"

namespace ml = modellib::api;

namespace {

using Clock = std::chrono::steady_clock;

// A session of one thread over inputs of zeros, of the largest extents.
class Worker {
 public:
  bool open(const ml::Plan& plan) {
    ml::SessionOptions options;
    options.threads = 1;
    auto session = ml::Session::create(plan, options);
    auto entry = plan.entry_info(0);
    if (!session || !entry) return false;
    session_ = std::make_unique<ml::Session>(std::move(*session));
    for (int32_t i = 0; i < entry->inputs; ++i) {
      auto info = plan.input_info(0, i);
      if (!info) return false;
      inputs_.emplace_back(info->max_bytes);
      if (!session_->bind_input(0, i, inputs_.back().data(), info->max_extents,
                                static_cast<size_t>(info->rank))) {
        return false;
      }
    }
    return static_cast<bool>(session_->run(0));  // touches all memory
  }

  // Runs a second; 0 if one fails.
  double work(double seconds) {
    int64_t runs = 0;
    const Clock::time_point start = Clock::now();
    std::chrono::duration<double> spent{};
    do {
      if (!session_->run(0)) return 0;
      ++runs;
      spent = Clock::now() - start;
    } while (spent.count() < seconds);
    return static_cast<double>(runs) / spent.count();
  }

 private:
  std::unique_ptr<ml::Session> session_;
  std::vector<std::vector<char>> inputs_;
};

struct Pipe {
  Pipe() {
    if (pipe(ends) != 0) std::abort();
  }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  int ends[2];
};

// In a process of its own: says on `ready` when all is prepared, begins when `go` ends, and writes
// how much it did to `result`.
int run_sessions(const std::string& path, int sessions, double seconds, int ready, int go,
                 int result) {
  auto plan = ml::Plan::load(path);
  if (!plan) {
    std::fprintf(stderr, "%s\n", plan.status().message().c_str());
    return 1;
  }
  std::vector<Worker> workers(static_cast<size_t>(sessions));
  for (Worker& worker : workers) {
    if (!worker.open(*plan)) return 1;
  }
  char token = 'r';
  if (write(ready, &token, 1) != 1) return 1;
  close(ready);  // so that nobody waits for one that failed
  if (read(go, &token, 1) != 0) return 1;
  std::vector<double> rates(workers.size());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < workers.size(); ++i) {
    threads.emplace_back([&, i] { rates[i] = workers[i].work(seconds); });
  }
  rates[0] = workers[0].work(seconds);
  for (std::thread& thread : threads) thread.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return write(result, &sum, sizeof(sum)) == sizeof(sum) ? 0 : 1;
}

// Runs a second of so many processes with so many sessions each; 0 if one of them failed.
double measure(const std::string& path, int processes, int sessions, double seconds) {
  Pipe ready, go, result;
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      close(go.ends[1]);
      close(ready.ends[0]);
      _exit(run_sessions(path, sessions, seconds, ready.ends[1], go.ends[0], result.ends[1]));
    }
    children.push_back(child);
  }
  close(ready.ends[1]);
  ready.ends[1] = -1;
  char token;
  int prepared = 0;
  while (prepared < processes && read(ready.ends[0], &token, 1) == 1) ++prepared;
  close(go.ends[1]);
  go.ends[1] = -1;
  bool fine = prepared == processes;
  for (const pid_t child : children) {
    int status = 0;
    fine = waitpid(child, &status, 0) == child && status == 0 && fine;
  }
  double sum = 0;
  for (int i = 0; fine && i < processes; ++i) {
    double rate = 0;
    fine = read(result.ends[0], &rate, sizeof(rate)) == sizeof(rate) && rate > 0;
    sum += rate;
  }
  return fine ? sum : 0;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 9;
  double seconds = 1;
  std::vector<std::string> plans;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--rounds" && i + 1 < argc) {
      rounds = std::atoi(argv[++i]);
    } else if (argument == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else {
      plans.push_back(argument);
    }
  }
  if (plans.empty() || rounds < 1) {
    std::fprintf(stderr, "usage: two_sessions [--rounds N] [--seconds S] PLAN...\n");
    return 2;
  }
  bool enough = true;
  for (const std::string& plan : plans) {
    std::vector<double> processes, sessions, ratios;
    for (int round = 0; round < rounds; ++round) {
      double apart = 0, together = 0;
      for (const bool first : {true, false}) {
        if (first == (round % 2 == 0)) {
          apart = measure(plan, 2, 1, seconds);
        } else {
          together = measure(plan, 1, 2, seconds);
        }
      }
      if (apart <= 0 || together <= 0) return 1;
      processes.push_back(apart);
      sessions.push_back(together);
      ratios.push_back(together / apart);
    }
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf("%s: two processes %.2f runs/s, two sessions %.2f, ratio %.3f (%.3f to %.3f)\n",
                plan.c_str(), median(processes), median(sessions), median(ratios), *least, *most);
    enough = enough && median(ratios) >= 0.95;
  }
  return enough ? 0 : 1;
}
