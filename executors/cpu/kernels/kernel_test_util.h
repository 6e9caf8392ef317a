// Runs one step of a kernel in a test as the runtime would, and harsher: operands between guard
// bytes, chunks in random order, a dirty workspace; inputs must stay as they were.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_KERNEL_TEST_UTIL_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_KERNEL_TEST_UTIL_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

inline int64_t double_bits(double value) { return std::bit_cast<int64_t>(value); }

class KernelCase {
 public:
  // Takes a kernel's struct of scalars.
  template <class S>
  void set_scalars(const S& s) {
    scalars.resize(sizeof(S) / sizeof(int64_t));
    std::memcpy(scalars.data(), &s, sizeof(S));
  }

  static constexpr size_t kGuard = 256;

  std::vector<int64_t> scalars;
  std::vector<runtime::StepView::Range> ranges;  // of the scalars; empty: each is what it is
  int64_t chunks = 1;
  std::vector<std::byte> data;
  uint64_t workspace_bytes = 0;
  runtime::Fault fault;
  uint32_t seed = 1;

  template <class T>
  void add_input(const std::vector<T>& values) {
    inputs_.push_back(bytes_of_values(values));
  }
  void add_absent_input() { inputs_.emplace_back(); }
  template <class T>
  void add_output(size_t count) {
    outputs_.emplace_back(count * sizeof(T), std::byte{0xCD});
    aliases_.push_back(-1);
  }
  // An output that starts as the content of input `i` and shares its memory.
  void add_output_in_place(int i) {
    outputs_.push_back(inputs_[i]);
    aliases_.push_back(i);
  }
  template <class T>
  std::vector<T> output(size_t i) const {
    std::vector<T> out(outputs_[i].size() / sizeof(T));
    if (!out.empty())
      std::memcpy(static_cast<void*>(out.data()), outputs_[i].data(), out.size() * sizeof(T));
    return out;
  }

  absl::Status validate(absl::Status (*check)(const runtime::StepView&)) const {
    return check(StepParts(*this).view);
  }

  // Validates and runs; an error also for touched guards and changed inputs.
  absl::Status run(const runtime::Kernel& kernel) {
    const StepParts parts(*this);
    if (absl::Status s = kernel.validate(parts.view); !s.ok()) return s;
    std::unique_ptr<runtime::KernelState> state;
    if (kernel.initialise != nullptr) {
      auto made = kernel.initialise(parts.view);
      if (!made.ok()) return made.status();
      state = *std::move(made);
    }
    std::vector<Guarded> memory;
    std::vector<std::byte*> buffers;
    for (const auto& out : outputs_) memory.emplace_back(out);
    for (const auto& in : inputs_) memory.emplace_back(in);
    memory.emplace_back(std::vector<std::byte>(workspace_bytes, std::byte{0xFF}));
    for (size_t i = 0; i < memory.size(); ++i) {
      const size_t input = i - outputs_.size();
      std::byte* address = memory[i].address();
      if (i >= outputs_.size() && input < inputs_.size()) {
        for (size_t o = 0; o < outputs_.size(); ++o) {
          if (aliases_[o] == static_cast<int>(input)) address = memory[o].address();
        }
      }
      buffers.push_back(address);
    }
    // Plan data is 8-byte aligned.
    std::vector<int64_t> aligned((data.size() + 7) / 8);
    if (!data.empty()) std::memcpy(aligned.data(), data.data(), data.size());
    runtime::KernelArgs args = {
        buffers.data(), scalars.data(),
        data.empty() ? nullptr : reinterpret_cast<std::byte*>(aligned.data()), state.get(), &fault};
    std::vector<int64_t> order(static_cast<size_t>(chunks));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    for (const int64_t chunk : order) kernel.run(args, chunk);
    for (size_t i = 0; i < memory.size(); ++i) {
      if (!memory[i].guards_whole()) {
        return absl::InternalError("guard bytes of operand " + std::to_string(i) + " were written");
      }
    }
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!memory[outputs_.size() + i].holds(inputs_[i])) {
        return absl::InternalError("input " + std::to_string(i) + " was written");
      }
    }
    for (size_t i = 0; i < outputs_.size(); ++i) outputs_[i] = memory[i].content();
    return absl::OkStatus();
  }

 private:
  class Guarded {
   public:
    explicit Guarded(const std::vector<std::byte>& content)
        : size_(content.size()), bytes_(content.size() + 2 * kGuard + 64, std::byte{0xA5}) {
      start_ = kGuard + (64 - (reinterpret_cast<uintptr_t>(bytes_.data()) + kGuard) % 64) % 64;
      std::copy(content.begin(), content.end(), bytes_.begin() + static_cast<ptrdiff_t>(start_));
    }
    std::byte* address() { return size_ == 0 ? nullptr : bytes_.data() + start_; }
    bool guards_whole() const {
      for (size_t i = 0; i < bytes_.size(); ++i) {
        if ((i < start_ || i >= start_ + size_) && bytes_[i] != std::byte{0xA5}) return false;
      }
      return true;
    }
    bool holds(const std::vector<std::byte>& content) const { return this->content() == content; }
    std::vector<std::byte> content() const {
      const auto begin = bytes_.begin() + static_cast<ptrdiff_t>(start_);
      return {begin, begin + static_cast<ptrdiff_t>(size_)};
    }

   private:
    size_t size_;
    size_t start_;
    std::vector<std::byte> bytes_;
  };

  // A StepView and what it points to.
  struct StepParts {
    std::vector<uint64_t> outputs, inputs;
    std::vector<runtime::StepView::Range> ranges;
    std::vector<int64_t> aligned;
    runtime::StepView view;

    explicit StepParts(const KernelCase& c) : aligned((c.data.size() + 7) / 8) {
      for (const auto& o : c.outputs_) outputs.push_back(o.size());
      for (const auto& i : c.inputs_) inputs.push_back(i.size());
      ranges = c.ranges;
      if (ranges.empty()) {
        for (const int64_t s : c.scalars) ranges.push_back({s, s});
      }
      if (!c.data.empty()) std::memcpy(aligned.data(), c.data.data(), c.data.size());
      view.name = "test";
      view.output_bytes = outputs;
      view.input_bytes = inputs;
      view.workspace_bytes = c.workspace_bytes;
      view.scalars = ranges;
      view.chunks = {c.chunks, c.chunks};
      view.data = {reinterpret_cast<const std::byte*>(aligned.data()), c.data.size()};
      view.aliases = c.aliases_;
    }
    StepParts(const StepParts&) = delete;
    StepParts& operator=(const StepParts&) = delete;
  };

  template <class T>
  static std::vector<std::byte> bytes_of_values(const std::vector<T>& values) {
    std::vector<std::byte> out(values.size() * sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), values.data(), out.size());
    return out;
  }

  std::vector<std::vector<std::byte>> outputs_;
  std::vector<std::vector<std::byte>> inputs_;
  std::vector<int> aliases_;
};

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_KERNEL_TEST_UTIL_H_
