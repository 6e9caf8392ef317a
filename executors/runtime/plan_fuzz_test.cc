// Plans of every construct, with kernels of tests.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "modellib/executors/runtime/plan_fuzz.h"
#include "modellib/executors/runtime/test_plans.h"

namespace modellib::runtime {
namespace {

const KernelTable& kernels() {
  static const auto* const table = [] {
    // All but the one that takes as long as its scalar says.
    static std::vector<Kernel> harmless;
    for (const Kernel& kernel : testing::test_kernels()) {
      if (absl::string_view(kernel.name) != "test.sleep") harmless.push_back(kernel);
    }
    return new KernelTable(*KernelTable::create({harmless}));
  }();
  return *table;
}

}  // namespace
}  // namespace modellib::runtime

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib::runtime;  // NOLINT(google-build-using-namespace)
  testing::fuzz_plan({reinterpret_cast<const std::byte*>(data), size}, kernels());
  return 0;
}
