// Convolutions of real models, one thread, batch 1: oneDNN on channels-first and on channels-last
// images beside our own kernels on channels-last ones, forward with a constant filter; and oneDNN's
// gradients on channels-first ones (channels-last it runs at 0.3 GFLOP/s). From it come the numbers
// by which the backend chooses.
//
//   conv_bench [--rounds=N] [--only=SUBSTRING]
//
// GFLOP/s by CPU time, medians; all ways run in alternation. The last lines sum up ResNet-50.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/depthwise.h"

namespace modellib::bench {
namespace {

using namespace modellib::cpu;  // NOLINT(google-build-using-namespace): a program of its own

struct Layer {
  const char* name;
  int64_t in_channels, out_channels, extent, kernel, stride;
  int64_t groups = 1;
  int count = 0;  // in ResNet-50
};

constexpr Layer kLayers[] = {
    {"ResNet stem 7x7/2", 3, 64, 224, 7, 2, 1, 1},
    {"ResNet 1x1 64-64", 64, 64, 56, 1, 1, 1, 1},
    {"ResNet 3x3 64", 64, 64, 56, 3, 1, 1, 3},
    {"ResNet 1x1 64-256", 64, 256, 56, 1, 1, 1, 4},
    {"ResNet 1x1 256-64", 256, 64, 56, 1, 1, 1, 2},
    {"ResNet 1x1 256-128", 256, 128, 56, 1, 1, 1, 1},
    {"ResNet 3x3/2 128", 128, 128, 56, 3, 2, 1, 1},
    {"ResNet 1x1 128-512", 128, 512, 28, 1, 1, 1, 4},
    {"ResNet 1x1/2 256-512", 256, 512, 56, 1, 2, 1, 1},
    {"ResNet 1x1 512-128", 512, 128, 28, 1, 1, 1, 3},
    {"ResNet 3x3 128", 128, 128, 28, 3, 1, 1, 3},
    {"ResNet 1x1 512-256", 512, 256, 28, 1, 1, 1, 1},
    {"ResNet 3x3/2 256", 256, 256, 28, 3, 2, 1, 1},
    {"ResNet 1x1 256-1024", 256, 1024, 14, 1, 1, 1, 6},
    {"ResNet 1x1/2 512-1024", 512, 1024, 28, 1, 2, 1, 1},
    {"ResNet 1x1 1024-256", 1024, 256, 14, 1, 1, 1, 5},
    {"ResNet 3x3 256", 256, 256, 14, 3, 1, 1, 5},
    {"ResNet 1x1 1024-512", 1024, 512, 14, 1, 1, 1, 1},
    {"ResNet 3x3/2 512", 512, 512, 14, 3, 2, 1, 1},
    {"ResNet 1x1 512-2048", 512, 2048, 7, 1, 1, 1, 3},
    {"ResNet 1x1/2 1024-2048", 1024, 2048, 14, 1, 2, 1, 1},
    {"ResNet 1x1 2048-512", 2048, 512, 7, 1, 1, 1, 2},
    {"ResNet 3x3 512", 512, 512, 7, 3, 1, 1, 2},
    {"YOLO 3x3 16-32/2", 16, 32, 320, 3, 2},
    {"UNet 3x3 64 at 128", 64, 64, 128, 3, 1},
    {"depthwise 3x3 144 at 56", 144, 144, 56, 3, 1, 144},
    {"depthwise 3x3/2 192 at 28", 192, 192, 28, 3, 2, 192},
    {"depthwise 5x5 672 at 14", 672, 672, 14, 5, 1, 672},
    {"grouped 3x3 128 by 32", 128, 128, 56, 3, 1, 32},
};

std::vector<float> numbers(int64_t n, unsigned seed) {
  std::vector<float> v(static_cast<size_t>(n) + 16);
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (float& x : v) x = uniform(random);
  return v;
}

double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// One way to do a layer: all chunks of a step, one after another.
struct Way {
  std::vector<int64_t> scalars;
  std::vector<std::byte*> buffers;
  int64_t chunks = 0;
  void (*kernel)(const runtime::KernelArgs&, int64_t) = nullptr;
  std::shared_ptr<runtime::KernelState> state;
  std::vector<float> packed, workspace;
  std::vector<std::byte> library_filter;

  bool exists() const { return kernel != nullptr; }
  template <class S>
  void set_scalars(const S& s) {
    const auto* begin = reinterpret_cast<const int64_t*>(&s);
    scalars.assign(begin, begin + sizeof(S) / sizeof(int64_t));
  }
  void run() const {
    runtime::Fault fault;
    const runtime::KernelArgs args = {buffers.data(), scalars.data(), nullptr, state.get(), &fault};
    for (int64_t c = 0; c < chunks; ++c) kernel(args, c);
  }
};

template <class T>
std::byte* bytes(std::vector<T>& v) {
  return reinterpret_cast<std::byte*>(v.data());
}

struct Problem {
  const Layer& layer;
  int64_t out, pad;
  std::vector<float> x, w, y, g, dx, dw;
  double flops;

  explicit Problem(const Layer& l) : layer(l) {
    pad = l.kernel / 2;
    out = (l.extent + 2 * pad - l.kernel) / l.stride + 1;
    x = numbers(l.in_channels * l.extent * l.extent, 1);
    w = numbers(l.out_channels * l.in_channels / l.groups * l.kernel * l.kernel, 2);
    y = numbers(l.out_channels * out * out, 3);
    g = numbers(l.out_channels * out * out, 4);
    dx = x;
    dw = w;
    flops = 2.0 * static_cast<double>(static_cast<int64_t>(w.size()) * out * out);
  }

  Way library(ConvKind kind, ImageLayout layout) {
    ConvScalars s;
    s.kind = static_cast<int64_t>(kind);
    s.layout = static_cast<int64_t>(layout);
    s.in_channels = layer.in_channels;
    s.out_channels = layer.out_channels;
    s.groups = layer.groups;
    for (int d = 0; d < 2; ++d) {
      s.in[d] = layer.extent;
      s.out[d] = out;
      s.kernel[d] = layer.kernel;
      s.stride[d] = layer.stride;
      s.pad_low[d] = pad;
      s.pad_high[d] = (out - 1) * layer.stride + layer.kernel - layer.extent - pad;
      if (s.pad_high[d] < 0) s.pad_high[d] = pad;
    }
    Way way;
    if (!plan_conv(1, kind == ConvKind::kForward, s).ok()) return way;
    way.set_scalars(s);
    way.chunks = conv_chunks(s, 1);
    way.workspace.resize(static_cast<size_t>(way.chunks * s.scratch_bytes / 4 + 1));
    if (kind == ConvKind::kForward) {
      std::byte* filter = bytes(w);
      if (s.filter_bytes != 0) {
        auto packed = pack_conv_filter(s, {w.data(), w.size() - 16});
        if (!packed.ok()) return way;
        way.library_filter = *std::move(packed);
        filter = way.library_filter.data();
      }
      way.buffers = {bytes(y), bytes(x), filter, nullptr, nullptr, bytes(way.workspace)};
    } else if (kind == ConvKind::kInputGradient) {
      way.buffers = {bytes(dx), bytes(g), bytes(w), bytes(way.workspace)};
    } else {
      way.buffers = {bytes(dw), bytes(x), bytes(g), bytes(way.workspace)};
    }
    std::vector<runtime::StepView::Range> ranges;
    for (const int64_t v : way.scalars) ranges.push_back({v, v});
    runtime::StepView view = {};
    view.scalars = ranges;
    auto state = initialise_conv(view);
    if (!state.ok()) return way;
    way.state = *std::move(state);
    way.kernel = run_conv;
    return way;
  }

  Way own() {
    Way way;
    if (layer.groups == layer.in_channels && layer.groups > 1) {
      DepthwiseScalars s;
      s.channels = layer.in_channels;
      for (int d = 0; d < 2; ++d) {
        s.in[d] = layer.extent;
        s.out[d] = out;
        s.kernel[d] = layer.kernel;
        s.stride[d] = layer.stride;
        s.pad_low[d] = pad;
      }
      choose_depthwise_grain(s);
      way.set_scalars(s);
      way.chunks = depthwise_chunks(s);
      way.buffers = {bytes(y), bytes(x), bytes(w), nullptr};
      way.kernel = run_depthwise;
      return way;
    }
    ConvGemmScalars s;
    s.in_channels = layer.in_channels;
    s.out_channels = layer.out_channels;
    s.groups = layer.groups;
    for (int d = 1; d < 3; ++d) {
      s.in[d] = layer.extent;
      s.out[d] = out;
      s.kernel[d] = layer.kernel;
      s.stride[d] = layer.stride;
      s.pad_low[d] = pad;
    }
    choose_conv_gemm_grain(s);
    way.set_scalars(s);
    way.packed = pack_conv_gemm_filter(s, {w.data(), w.size() - 16});
    const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
    way.chunks = s.groups * up(out * out, s.m_grain) * up(conv_gemm_width(s), s.n_grain);
    way.buffers = {bytes(y), bytes(x), bytes(way.packed), nullptr, nullptr, nullptr};
    way.kernel = run_conv_gemm;
    return way;
  }
};

int run(int argc, char** argv) {
  int rounds = 7;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg.rfind("--rounds=", 0) == 0) rounds = std::atoi(arg.c_str() + 9);
    if (arg.rfind("--only=", 0) == 0) only = arg.substr(7);
  }
  constexpr int kWays = 5;
  double resnet[kWays] = {};
  std::printf(
      "| layer | MFLOP | oneDNN first | oneDNN last | own last | input gradient, first | "
      "filter gradient, first |\n|---|---|---|---|---|---|---|\n");
  for (const Layer& layer : kLayers) {
    if (std::string(layer.name).find(only) == std::string::npos) continue;
    Problem p(layer);
    std::vector<Way> ways;
    ways.push_back(p.library(ConvKind::kForward, ImageLayout::kChannelsFirst));
    ways.push_back(p.library(ConvKind::kForward, ImageLayout::kChannelsLast));
    ways.push_back(p.own());
    for (const ConvKind kind : {ConvKind::kInputGradient, ConvKind::kFilterGradient}) {
      ways.push_back(p.library(kind, ImageLayout::kChannelsFirst));
    }
    std::vector<std::vector<double>> times(ways.size());
    for (int round = 0; round <= rounds; ++round) {
      for (size_t i = 0; i < ways.size(); ++i) {
        if (!ways[i].exists()) continue;
        const double start = now();
        ways[i].run();
        if (round > 0) times[i].push_back(now() - start);
      }
    }
    std::printf("| %s | %.0f |", layer.name, p.flops / 1e6);
    for (size_t i = 0; i < ways.size(); ++i) {
      if (times[i].empty()) {
        std::printf(" - |");
        continue;
      }
      std::sort(times[i].begin(), times[i].end());
      const double median = times[i][times[i].size() / 2];
      resnet[i] += median * layer.count;
      std::printf(" %.1f |", p.flops / median / 1e9);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  std::printf("| ResNet-50, ms | |");
  for (const double seconds : resnet) std::printf(" %.1f |", seconds * 1e3);
  std::printf("\n");
  return 0;
}

}  // namespace
}  // namespace modellib::bench

int main(int argc, char** argv) { return modellib::bench::run(argc, argv); }
