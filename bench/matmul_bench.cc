// Our matmul beside oneDNN's and OpenBLAS' on layers of real models, and beside the machine's FMA
// peak: oneDNN's sgemm and, where B is constant, its matmul with B in the layout that it asks for.
// All run in alternation, in slices of a few milliseconds, so that what else the machine does
// strikes them alike; ratios are medians of the ratios within one round.
//
//   matmul_bench [--rounds=N] [--only=SUBSTRING] [--threads=1|2] [--avx2]
//
// --avx2 keeps us to AVX2; DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell in the environment do so
// for the others. It prints one table in markdown for each number of threads.
#include <cblas.h>
#include <dnnl.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_scheduler_observer.h>
#include <time.h>
#include <dnnl.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "hwy/aligned_allocator.h"
#include "hwy/targets.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/executors/cpu/machine/fma_peak.h"

namespace modellib::bench {
namespace {

struct Layer {
  const char* name;
  int64_t m, n, k;
  int64_t batch = 1;  // each with its own B, [n, k], not constant: attention's scores
};

constexpr Layer kLayers[] = {
    {"BERT projection", 128, 768, 768},
    {"BERT feed-forward, up", 128, 3072, 768},
    {"BERT feed-forward, down", 128, 768, 3072},
    {"GPT-2 decode, down", 1, 768, 3072},
    {"MLP, first layer", 64, 256, 784},
    {"GPT-2 decode, up", 1, 3072, 768},
    {"LSTM gates", 8, 2048, 512},
    {"vocabulary", 32, 30522, 768},
    {"ResNet 1x1, 56x56", 3136, 256, 64},
    {"ResNet 1x1, 28x28", 784, 128, 512},
    {"attention, 12 heads", 128, 128, 64, 12},
    {"square", 1024, 1024, 1024},
};

using Buffer = hwy::AlignedFreeUniquePtr<float[]>;

Buffer random_buffer(int64_t count, unsigned seed) {
  Buffer buffer = hwy::AllocateAligned<float>(static_cast<size_t>(count));
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int64_t i = 0; i < count; ++i) buffer[i] = uniform(random);
  return buffer;
}

// On one thread its CPU time, which leaves out what the scheduler gives to other programs.
double now(int threads) {
  timespec time;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double seconds_of(const std::function<void()>& run, int repeats, int threads) {
  const double start = now(threads);
  for (int i = 0; i < repeats; ++i) run();
  return now(threads) - start;
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  const size_t n = x.size();
  return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

std::vector<double> ratios(const std::vector<double>& x, const std::vector<double>& y) {
  std::vector<double> each;
  for (size_t i = 0; i < x.size(); ++i) each.push_back(x[i] / y[i]);
  return each;
}

// Binds the thread that makes it to the first processor, and the one thread beside it, whether
// TBB's or OpenBLAS', to the second: the scheduler may leave both on one. Lasts until the process
// ends.
class OneProcessorEach : public tbb::task_scheduler_observer {
 public:
  OneProcessorEach() {
    openblas_set_num_threads(2);
    openblas_setaffinity(0, sizeof(cpu_set_t), &second_);
    observe(true);
  }
  ~OneProcessorEach() override { observe(false); }
  OneProcessorEach(const OneProcessorEach&) = delete;
  OneProcessorEach& operator=(const OneProcessorEach&) = delete;

  void on_scheduler_entry(bool) override {
    thread_local bool bound = false;
    if (bound) return;
    bound = true;
    const bool is_maker = pthread_equal(pthread_self(), maker_) != 0;
    pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), is_maker ? &first_ : &second_);
  }

 private:
  // The processor after `skip` others of those that the process may use, or the first.
  static cpu_set_t processor(int skip) {
    cpu_set_t allowed, one;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof(allowed), &allowed);
    skip %= CPU_COUNT(&allowed);
    int number = 0;
    while (!CPU_ISSET(number, &allowed) || skip-- > 0) ++number;
    CPU_ZERO(&one);
    CPU_SET(number, &one);
    return one;
  }
  pthread_t maker_ = pthread_self();
  cpu_set_t first_ = processor(0), second_ = processor(1);
};

// The operands of one layer and each library's way to compute it.
class Contest {
 public:
  Contest(const Layer& layer, int threads)
      : layer_(layer),
        threads_(threads),
        a_(random_buffer(layer.batch * layer.m * layer.k, 1)),
        b_(random_buffer(layer.batch * layer.n * layer.k, 2)),
        c_(random_buffer(layer.batch * layer.m * layer.n, 3)),
        want_(random_buffer(layer.batch * layer.m * layer.n, 4)) {
    cpu::MatmulShape shape;
    shape.m = layer.m;
    shape.n = layer.n;
    shape.k = layer.k;
    shape.batch = layer.batch;
    shape.transpose_b = layer.batch > 1;
    shape.b_shared = layer.batch == 1;
    shape.b_constant = layer.batch == 1;
    const cpu::MatmulPlan plan = cpu::plan_matmul(shape);
    scalars_ = cpu::matmul_scalars(shape, plan);
    if (plan.pack_offline) {
      packed_ = hwy::AllocateAligned<float>(static_cast<size_t>(plan.packed_bytes / 4));
      cpu::pack_b(layer.k, layer.n, shape.transpose_b, b_.get(),
                  scalars_.ldb != 0 ? scalars_.ldb : layer.n, packed_.get());
    }
  }

  double flops() const {
    return 2.0 * static_cast<double>(layer_.batch * layer_.m) * static_cast<double>(layer_.n) *
           static_cast<double>(layer_.k);
  }
  int64_t chunks() const { return cpu::matmul_chunks(scalars_); }

  void ours() {
    const float* b = packed_ ? packed_.get() : b_.get();
    const auto chunk = [&](int64_t i) {
      cpu::matmul_chunk(scalars_, a_.get(), b, nullptr, nullptr, c_.get(), i);
    };
    for_each(chunks(), chunk);
  }

  void onednn() {
    split([&](int64_t batch, int64_t m0, int64_t rows, int64_t n0, int64_t columns) {
      omp_set_num_threads(1);
      const bool transposed = layer_.batch > 1;
      const float* b = b_.get() + batch * layer_.n * layer_.k;
      dnnl_sgemm('N', transposed ? 'T' : 'N', rows, columns, layer_.k, 1.0f,
                 a_.get() + (batch * layer_.m + m0) * layer_.k, layer_.k,
                 b + (transposed ? n0 * layer_.k : n0), transposed ? layer_.k : layer_.n, 0.0f,
                 c_.get() + (batch * layer_.m + m0) * layer_.n + n0, layer_.n);
    });
  }

  bool has_packed() const { return layer_.batch == 1; }
  void onednn_packed() {
    if (products_.empty()) split([&](auto... part) { prepare(part...); }, /*in_order=*/true);
    const auto execute = [&](size_t i) {
      omp_set_num_threads(1);
      thread_local dnnl::stream stream(engine());
      products_[i].matmul.execute(stream, products_[i].operands);
    };
    if (products_.size() == 1) {
      execute(0);
    } else {
      tbb::parallel_for(size_t{0}, products_.size(), execute);
    }
  }

  void openblas() {
    const int m = static_cast<int>(layer_.m), n = static_cast<int>(layer_.n),
              k = static_cast<int>(layer_.k);
    if (layer_.batch > 1) {
      openblas_set_num_threads(1);
      for_each(layer_.batch, [&](int64_t i) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0f, a_.get() + i * m * k, k,
                    b_.get() + i * n * k, k, 0.0f, c_.get() + i * m * n, n);
      });
      return;
    }
    openblas_set_num_threads(threads_);
    if (m == 1) {
      cblas_sgemv(CblasRowMajor, CblasTrans, k, n, 1.0f, b_.get(), n, a_.get(), 1, 0.0f, c_.get(),
                  1);
    } else {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a_.get(), k, b_.get(),
                  n, 0.0f, c_.get(), n);
    }
  }

  // Whether all three agree: a fast wrong answer is none.
  bool agree() {
    const int64_t count = layer_.batch * layer_.m * layer_.n;
    onednn();
    std::swap(c_, want_);
    bool same = true;
    for (const auto method : {&Contest::ours, &Contest::onednn_packed, &Contest::openblas}) {
      if (method == &Contest::onednn_packed && !has_packed()) continue;
      std::fill_n(c_.get(), count, -1.0f);
      (this->*method)();
      for (int64_t i = 0; i < count; ++i) {
        same =
            same && std::abs(c_[i] - want_[i]) <= 1e-4f * std::sqrt(static_cast<float>(layer_.k));
      }
    }
    return same;
  }

 private:
  template <typename Body>
  void for_each(int64_t count, const Body& body) {
    if (threads_ == 1) {
      for (int64_t i = 0; i < count; ++i) body(i);
    } else {
      tbb::parallel_for(int64_t{0}, count, body);
    }
  }

  // oneDNN is kept at one thread; for two, the longer side of C is halved (or the batch shared
  // out).
  template <typename Body>
  void split(const Body& body, bool in_order = false) {
    const int64_t m = layer_.m, n = layer_.n;
    const auto both = [&](const auto& half) {
      if (in_order) {
        half(0);
        half(1);
      } else {
        tbb::parallel_for(0, 2, half);
      }
    };
    if (layer_.batch > 1) {
      for_each(layer_.batch, [&](int64_t i) { body(i, 0, m, 0, n); });
    } else if (threads_ == 1) {
      body(0, 0, m, 0, n);
    } else if (m > n) {
      both([&](int i) { body(0, i * (m / 2), i == 0 ? m / 2 : m - m / 2, 0, n); });
    } else {
      const int64_t half = (n / 2 + 15) / 16 * 16;
      both([&](int i) { body(0, 0, m, i * half, i == 0 ? half : n - half); });
    }
  }

  // One part of C by oneDNN's matmul, which reads B in a layout of its own.
  struct Product {
    dnnl::matmul matmul;
    std::unordered_map<int, dnnl::memory> operands;
  };
  static const dnnl::engine& engine() {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
  }
  void prepare(int64_t, int64_t m0, int64_t rows, int64_t n0, int64_t columns) {
    omp_set_num_threads(1);
    using dnnl::memory;
    constexpr auto kF32 = memory::data_type::f32;
    const int64_t k = layer_.k, n = layer_.n;
    const memory::desc a({rows, k}, kF32, memory::dims{k, 1});
    const memory::desc b({k, columns}, kF32, memory::dims{n, 1});
    const memory::desc c({rows, columns}, kF32, memory::dims{n, 1});
    const memory::desc any({k, columns}, kF32, memory::format_tag::any);
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(a, any, c), engine());
    const memory plain(b, engine(), b_.get() + n0);
    const memory packed(chosen.weights_desc(), engine());
    dnnl::stream stream(engine());
    dnnl::reorder(plain, packed).execute(stream, {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, packed}});
    stream.wait();
    products_.push_back({dnnl::matmul(chosen),
                         {{DNNL_ARG_SRC, memory(a, engine(), a_.get() + m0 * k)},
                          {DNNL_ARG_WEIGHTS, packed},
                          {DNNL_ARG_DST, memory(c, engine(), c_.get() + m0 * n + n0)}}});
  }

  Layer layer_;
  int threads_;
  Buffer a_, b_, c_, want_, packed_;
  cpu::MatmulScalars scalars_;
  std::vector<Product> products_;
};

// GFLOP/s, medians, of each contestant (0 for one that does not take part), and of the FMA loop.
struct Result {
  double ours, sgemm, packed, openblas, peak;
  double ratio;       // to the better of sgemm and OpenBLAS
  double ratio_best;  // to the best of all
  double of_peak;
};

Result measure(Contest& contest, int threads, int rounds) {
  std::vector<std::function<void()>> runs = {[&] { contest.ours(); }, [&] { contest.onednn(); },
                                             [&] { contest.openblas(); }};
  if (contest.has_packed()) runs.emplace_back([&] { contest.onednn_packed(); });
  const int count = static_cast<int>(runs.size());
  constexpr double kSlice = 2e-3;
  std::vector<int> repeats;
  for (const auto& one : runs) {
    one();
    const double once = std::min(seconds_of(one, 1, threads), seconds_of(one, 1, threads));
    repeats.push_back(std::max(1, static_cast<int>(kSlice / once)));
  }
  std::vector<std::vector<double>> speed(runs.size());
  std::vector<double> peak;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < count; ++i) {
      // Each comes after each of its neighbours as often: OpenBLAS' threads keep a processor busy
      // for some time after they are done.
      const int turn = round % 2 == 0 ? round / 2 + i : round / 2 + count - 1 - i;
      const auto which = static_cast<size_t>(turn % count);
      runs[which]();
      speed[which].push_back(contest.flops() * repeats[which] /
                             seconds_of(runs[which], repeats[which], threads) / 1e9);
    }
    constexpr int64_t kSteps = 100000;
    double flops = 0;
    const double seconds = seconds_of(
        [&] {
          if (threads == 1) {
            flops = cpu::run_fma_loop(kSteps);
          } else {
            tbb::parallel_for(
                0, threads,
                [&](int i) {
                  const double done = cpu::run_fma_loop(kSteps);
                  if (i == 0) flops = done * threads;
                },
                tbb::simple_partitioner());
          }
        },
        1, threads);
    peak.push_back(flops / seconds / 1e9);
  }
  // Of the rounds, ours by the fastest of the first so many others.
  const auto ratio_to_best = [&](size_t last) {
    size_t best = 1;
    for (size_t i = 2; i <= last; ++i) best = median(speed[i]) > median(speed[best]) ? i : best;
    return median(ratios(speed[0], speed[best]));
  };
  return {.ours = median(speed[0]),
          .sgemm = median(speed[1]),
          .packed = count > 3 ? median(speed[3]) : 0,
          .openblas = median(speed[2]),
          .peak = median(peak),
          .ratio = ratio_to_best(2),
          .ratio_best = ratio_to_best(runs.size() - 1),
          .of_peak = median(ratios(speed[0], peak))};
}

int run(int argc, char** argv) {
  int rounds = 41, only_threads = 0;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--rounds=", 0) == 0) {
      rounds = std::max(1, std::atoi(argument.c_str() + 9));
    } else if (argument.rfind("--only=", 0) == 0) {
      only = argument.substr(7);
    } else if (argument == "--threads=1" || argument == "--threads=2") {
      only_threads = argument.back() - '0';
    } else if (argument == "--avx2") {
      hwy::SetSupportedTargetsForTest(HWY_AVX2);
    } else {
      std::fprintf(stderr, "matmul_bench: unknown argument %s\n", argv[i]);
      return 2;
    }
  }
  std::printf("%s, OpenBLAS core %s\n",
              hwy::TargetName(hwy::SupportedTargets() & -hwy::SupportedTargets()),
              openblas_get_corename());
  bool all_agree = true;
  for (const int threads : {1, 2}) {
    if (only_threads != 0 && threads != only_threads) continue;
    std::optional<OneProcessorEach> binding;
    if (threads > 1) binding.emplace();
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<size_t>(threads));
    std::printf("\n%d thread%s, GFLOP/s (median of %d rounds)\n\n", threads,
                threads == 1 ? "" : "s", rounds);
    std::printf(
        "| layer | M x N x K | ours | oneDNN | OpenBLAS | ratio to the better | oneDNN, packed | "
        "ratio to the best | FMA peak | of peak |\n");
    std::printf("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    double log_sum = 0, log_sum_best = 0;
    int count = 0;
    for (const Layer& layer : kLayers) {
      const std::string shape = (layer.batch > 1 ? std::to_string(layer.batch) + " x " : "") +
                                std::to_string(layer.m) + " x " + std::to_string(layer.n) + " x " +
                                std::to_string(layer.k);
      if (!only.empty() && (layer.name + (" " + shape)).find(only) == std::string::npos) continue;
      Contest contest(layer, threads);
      if (!contest.agree()) {
        std::printf("| %s | %s | results differ |\n", layer.name, shape.c_str());
        all_agree = false;
        continue;
      }
      const Result r = measure(contest, threads, rounds);
      char packed[16] = "";
      if (r.packed > 0) std::snprintf(packed, sizeof(packed), "%.1f", r.packed);
      std::printf("| %s | %s | %.1f | %.1f | %.1f | %.2f | %s | %.2f | %.1f | %.0f%% |\n",
                  layer.name, shape.c_str(), r.ours, r.sgemm, r.openblas, r.ratio, packed,
                  r.ratio_best, r.peak, 100 * r.of_peak);
      std::fflush(stdout);
      log_sum += std::log(r.ratio);
      log_sum_best += std::log(r.ratio_best);
      ++count;
    }
    if (count > 0) {
      std::printf("\nGeometric mean of the ratios: %.3f to the better, %.3f to the best\n",
                  std::exp(log_sum / count), std::exp(log_sum_best / count));
    }
  }
  return all_agree ? 0 : 1;
}

}  // namespace
}  // namespace modellib::bench

int main(int argc, char** argv) { return modellib::bench::run(argc, argv); }
