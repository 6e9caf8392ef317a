// Plans made by hand, and kernels small enough to be seen through, for the runtime's tests.
#ifndef MODELLIB_EXECUTORS_RUNTIME_TEST_PLANS_H_
#define MODELLIB_EXECUTORS_RUNTIME_TEST_PLANS_H_

#include <bit>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "modellib/executors/runtime/executable.h"
#include "modellib/executors/runtime/kernel.h"
#include "modellib/formats/plan_file.h"
#include "modellib/formats/plan_generated.h"

namespace modellib::runtime::testing {

// The kernels; all numbers are f32 unless said otherwise, scalars[0] = n is the number of elements.
//   test.fill    output[i] = scalars[1] (a float)
//   test.iota    output[i] = scalars[1] + i (floats)
//   test.copy    output[i] = input[i]
//   test.add     output[i] = input0[i] + input1[i]
//   test.scale   output[i] = input[i] * scalars[1] (a float)
//   test.sum     output[chunk] = sum of the chunk's elements of input
//   test.gather  output[i] = input0[index[i]], index i32; scalars[1] rows. Faults.
//   test.less    output (a byte) = input (i64) < scalars[0]
//   test.count   output (i64) = input (i64) + scalars[0]; may be in place
//   test.float_of  output[0] = (float)input, an i64
//   test.sleep   waits scalars[0] milliseconds, then output[0] = 1
// test.fill, iota, copy, add, scale and sum split their elements evenly into the step's chunks.
absl::Span<const Kernel> test_kernels();

inline fb::BufferRef arena(uint64_t offset, uint64_t size, int64_t stride = 0, int64_t outer = 0) {
  return {fb::Space::Arena, 0, offset, size, stride, outer};
}
inline fb::BufferRef in(fb::Space space, uint32_t index, uint64_t size, uint64_t offset = 0,
                        int64_t stride = 0, int64_t outer = 0) {
  return {space, index, offset, size, stride, outer};
}
inline fb::Scalar number(int64_t value) { return {value, -1}; }
inline fb::Scalar real(double value) { return {std::bit_cast<int64_t>(value), -1}; }
inline fb::Scalar slot(int index, int64_t max) { return {max, index}; }

// An entry under construction.
class EntryMaker {
 public:
  EntryMaker(fb::PlanT& plan, const std::string& name);
  fb::EntryT& entry() { return *entry_; }

  // These return the index.
  int symbol(const std::string& name, int64_t min, int64_t max);
  // The symbol's value times `factor`.
  int slot_of(int symbol, int64_t factor, int64_t min, int64_t max);
  int input(const std::string& name, fb::DType dtype, std::vector<fb::Scalar> shape,
            std::vector<int> symbols = {});
  int output(const std::string& name, fb::DType dtype, std::vector<fb::Scalar> shape);
  void arena_bytes(uint64_t bytes);
  void uses(uint32_t variable, bool reads, bool writes);
  uint32_t sequence();

  // Appends to the sequence, 0 being the main one.
  fb::StepT& step(const std::string& kernel, std::vector<fb::BufferRef> outputs,
                  std::vector<fb::BufferRef> inputs, std::vector<fb::Scalar> scalars,
                  int64_t chunks = 1, uint32_t sequence = 0);

 private:
  fb::PlanT& plan_;
  fb::EntryT* entry_;
};

struct PlanMaker {
  PlanMaker() { plan.kernel_abi = kKernelAbi; }

  fb::PlanT plan;
  std::vector<SharedBytes> segments;

  EntryMaker entry(const std::string& name) { return {plan, name}; }
  // f32[n], zeros or with these initial values.
  uint32_t variable(const std::string& name, int64_t n,
                    fb::VariableKind kind = fb::VariableKind::Shared,
                    std::vector<float> initial = {});
  uint32_t constant(const std::string& name, std::vector<float> values);
  // Fails the test where it cannot be loaded.
  std::shared_ptr<const Executable> load() const;
  absl::StatusOr<std::shared_ptr<const Executable>> try_load(const LoadOptions& options = {}) const;
};

}  // namespace modellib::runtime::testing

#endif  // MODELLIB_EXECUTORS_RUNTIME_TEST_PLANS_H_
