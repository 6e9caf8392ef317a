#include "modellib/executors/runtime/kernel_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace modellib::runtime {

absl::StatusOr<KernelTable> KernelTable::create(
    std::initializer_list<absl::Span<const Kernel>> libraries) {
  KernelTable table;
  for (absl::Span<const Kernel> library : libraries) {
    for (const Kernel& kernel : library) {
      if (kernel.name == nullptr || kernel.validate == nullptr || kernel.run == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("kernel '",
                                                       kernel.name == nullptr ? "" : kernel.name,
                                                       "' lacks a name, validate or run"));
      }
      table.kernels_.push_back(&kernel);
    }
  }
  const auto by_name = [](const Kernel* a, const Kernel* b) {
    return absl::string_view(a->name) < absl::string_view(b->name);
  };
  std::sort(table.kernels_.begin(), table.kernels_.end(), by_name);
  const auto twin = std::adjacent_find(
      table.kernels_.begin(), table.kernels_.end(), [](const Kernel* a, const Kernel* b) {
        return absl::string_view(a->name) == absl::string_view(b->name);
      });
  if (twin != table.kernels_.end()) {
    return absl::AlreadyExistsError(absl::StrCat("two kernels are named '", (*twin)->name, "'"));
  }
  return table;
}

const Kernel* KernelTable::find(absl::string_view name) const {
  const auto it =
      std::lower_bound(kernels_.begin(), kernels_.end(), name,
                       [](const Kernel* k, absl::string_view n) { return k->name < n; });
  return it != kernels_.end() && name == (*it)->name ? *it : nullptr;
}

}  // namespace modellib::runtime
