// Kernels by name, gathered from the device libraries that a program links:
//
//   MODELLIB_ASSIGN_OR_RETURN(auto kernels, KernelTable::create({cpu::cpu_kernels(), my_kernels}));
//
// A program that adds none of its own takes cpu::cpu_kernel_table(). Names are looked up when a
// plan is loaded, never after. Nothing registers itself: what is not named here is not there.
#ifndef MODELLIB_EXECUTORS_RUNTIME_KERNEL_TABLE_H_
#define MODELLIB_EXECUTORS_RUNTIME_KERNEL_TABLE_H_

#include <initializer_list>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::runtime {

class KernelTable {
 public:
  // The spans must outlive the table and all that is loaded with it. AlreadyExists for a name that
  // occurs twice, InvalidArgument for a kernel without name, `validate` or `run`.
  static absl::StatusOr<KernelTable> create(
      std::initializer_list<absl::Span<const Kernel>> libraries);

  // Null if there is none of that name.
  const Kernel* find(absl::string_view name) const;

 private:
  std::vector<const Kernel*> kernels_;  // by name
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_KERNEL_TABLE_H_
