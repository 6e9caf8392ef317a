// The constants of a plan: raw or packed for a kernel, each content in each layout once for all
// entries.
#ifndef MODELLIB_PASSES_CONSTANT_POOL_H_
#define MODELLIB_PASSES_CONSTANT_POOL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/tensor.h"
#include "modellib/passes/backend.h"

namespace modellib {

class ConstantPool {
 public:
  struct Item {
    Tensor tensor;     // the bytes as the kernel reads them
    uint64_t hash;     // of content and layout
    std::string name;  // for people
  };

  // Index of the tensor as it is.
  int raw(const Tensor& tensor, absl::string_view name);
  // Index of the tensor in a packed layout; `packed.pack` runs only for what is not there yet.
  absl::StatusOr<int> pack(const Tensor& source, const PackedConstant& packed,
                           absl::string_view name);

  const std::vector<Item>& items() const { return items_; }

 private:
  int add(Tensor tensor, uint64_t hash, absl::string_view name);
  uint64_t content_hash(const Tensor& tensor);

  std::vector<Item> items_;
  absl::flat_hash_map<uint64_t, int> index_;
  // Hashing a large tensor takes time; the same bytes come again for each entry.
  absl::flat_hash_map<const std::byte*, std::vector<std::pair<Tensor, uint64_t>>> hashed_;
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_CONSTANT_POOL_H_
