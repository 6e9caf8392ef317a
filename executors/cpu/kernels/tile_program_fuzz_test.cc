// Any bytes are a tile program or a Status; a program that the step's check accepts touches nothing
// outside its operands.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {
namespace {

// A small step around the program: three rows of 40 elements in operands of 1 KiB each.
void run_program(absl::Span<const std::byte> data) {
  const auto program = parse_tile_program(data);
  if (!program.ok()) return;
  if (describe_tile_program(*program).empty()) __builtin_trap();
  const TileLayout at = program->layout();
  std::vector<int64_t> scalars(static_cast<size_t>(at.count()), 0);
  const auto set = [&](int i, int64_t value) { scalars[static_cast<size_t>(i)] = value; };
  set(TileLayout::rows_per_chunk(), 2);
  set(TileLayout::cols_per_chunk(), 40);
  for (int d = 0; d < at.row_dims; ++d) set(at.row(d), d == 0 ? 3 : 1);
  set(at.cols(), 40);
  for (int m = 0; m < at.maps; ++m) {
    if (at.row_dims > 0) set(at.row_stride(m, 0), 40);
    set(at.col_stride(m), 1);
  }
  for (int i = 0; i < at.user; ++i) set(at.user_scalar(i), 40);
  const size_t outputs = program->header->outputs;
  const size_t inputs = 4;
  std::vector<std::vector<std::byte>> memory(outputs + inputs,
                                             std::vector<std::byte>(1024, std::byte{1}));
  std::vector<std::byte*> buffers;
  for (auto& operand : memory) buffers.push_back(operand.data());
  const std::vector<uint64_t> output_bytes(outputs, 1024), input_bytes(inputs, 1024);
  std::vector<runtime::StepView::Range> ranges;
  for (const int64_t s : scalars) ranges.push_back({s, s});
  const std::vector<int> aliases(outputs, -1);
  runtime::StepView step = {};
  step.output_bytes = output_bytes;
  step.input_bytes = input_bytes;
  step.scalars = ranges;
  step.chunks = {2, 2};
  step.data = data;
  step.aliases = aliases;
  if (!validate_tile_step(step).ok()) return;
  runtime::Fault fault;
  const runtime::KernelArgs args = {buffers.data(), scalars.data(), data.data(), nullptr, &fault};
  for (int64_t chunk = 0; chunk < 2; ++chunk) run_tile_chunk(args, chunk);
}

}  // namespace
}  // namespace modellib::cpu

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size > (1 << 16)) return 0;
  std::vector<int64_t> aligned(size / 8 + 1);
  if (size > 0) std::memcpy(aligned.data(), bytes, size);
  modellib::cpu::run_program({reinterpret_cast<const std::byte*>(aligned.data()), size});
  return 0;
}
