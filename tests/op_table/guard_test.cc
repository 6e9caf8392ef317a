// Guard bytes: every sample of the op table, run on the CPU into buffers of the caller's, touches
// nothing before or behind its outputs and changes none of its inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "modellib/distributed/local/local_group.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

constexpr std::byte kGuard{0xA5};
constexpr size_t kGuardBytes = 256;  // wider than any vector, and keeps the alignment

// Bytes between two guards; nothing but the guards is set.
class Guarded {
 public:
  explicit Guarded(size_t bytes) : bytes_(bytes), storage_(bytes + 3 * kGuardBytes, kGuard) {}

  std::byte* data() { return begin(); }
  bool intact() {
    const std::byte* const first = storage_.data();
    const auto is_guard = [](std::byte b) { return b == kGuard; };
    return std::all_of(first, static_cast<const std::byte*>(begin()), is_guard) &&
           std::all_of(static_cast<const std::byte*>(begin()) + bytes_, first + storage_.size(),
                       is_guard);
  }

 private:
  std::byte* begin() {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data()) + kGuardBytes;
    return storage_.data() + kGuardBytes + (64 - address % 64) % 64;
  }

  size_t bytes_;
  std::vector<std::byte> storage_;
};

class GuardTable : public testing::TestWithParam<OpCase> {};

TEST_P(GuardTable, OnlyOutputsAreWritten) {
  const absl::StatusOr<GraphRef> graph = sample_graph(GetParam());
  ASSERT_TRUE(graph.ok()) << graph.status();
  const absl::StatusOr<std::vector<Tensor>> inputs = sample_inputs(GetParam());
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  const absl::StatusOr<ReferenceResult> expected = run_reference(*graph, *inputs);
  ASSERT_TRUE(expected.ok()) << expected.status();

  const absl::StatusOr<DimBinding> binding = bind_inputs(**graph, *inputs);
  ASSERT_TRUE(binding.ok()) << binding.status();
  CompileOptions options;
  for (const auto& [symbol, extent] : *binding) options.dims[symbol] = {extent, extent};
  const absl::StatusOr<CpuProgram> program = compile_for_cpu(*graph, options);
  ASSERT_TRUE(program.ok()) << program.status();
  const auto alone = distributed::make_local_group(1);
  runtime::SessionOptions session_options;
  session_options.communicator = alone[0].get();
  auto session = runtime::Session::create(program->executable, nullptr, std::move(session_options));
  ASSERT_TRUE(session.ok()) << session.status();
  const absl::StatusOr<runtime::EntryId> entry = program->executable->entry("main");
  ASSERT_TRUE(entry.ok()) << entry.status();

  const auto bytes_of_tensor = [](const Tensor& t) { return static_cast<size_t>(t.bytes()); };
  std::vector<Guarded> sources, results;
  for (const Tensor& t : *inputs) {
    Guarded& g = sources.emplace_back(bytes_of_tensor(t));
    if (t.bytes() > 0) std::memcpy(g.data(), t.data(), bytes_of_tensor(t));
  }
  for (const Tensor& t : expected->outputs) results.emplace_back(bytes_of_tensor(t));
  for (size_t i = 0; i < sources.size(); ++i) {
    ASSERT_EQ((*session)->bind_input(*entry, static_cast<int>(i), sources[i].data(),
                                     (*inputs)[i].shape()),
              absl::OkStatus());
  }
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_EQ((*session)->bind_output(*entry, static_cast<int>(i), results[i].data(),
                                      bytes_of_tensor(expected->outputs[i])),
              absl::OkStatus());
  }
  ASSERT_EQ((*session)->run(*entry), absl::OkStatus());

  for (size_t i = 0; i < sources.size(); ++i) {
    EXPECT_TRUE(sources[i].intact()) << "wrote beside input " << i;
    if ((*inputs)[i].bytes() == 0) continue;
    EXPECT_EQ(std::memcmp(sources[i].data(), (*inputs)[i].data(), bytes_of_tensor((*inputs)[i])), 0)
        << "wrote to input " << i;
  }
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_TRUE(results[i].intact()) << "wrote beside output " << i;
    const Tensor& want = expected->outputs[i];
    Tensor got = *Tensor::zeros(want.dtype(), want.shape());
    if (got.bytes() > 0) std::memcpy(got.mutable_data(), results[i].data(), bytes_of_tensor(got));
    EXPECT_EQ(difference(got, want, GetParam().sample.tolerance), "") << "output " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(OpTable, GuardTable, testing::ValuesIn(op_cases()),
                         [](const auto& info) { return op_case_name(info); });

}  // namespace
}  // namespace modellib
