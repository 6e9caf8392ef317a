#include "modellib/passes/constant_pool.h"

#include <xxhash.h>

#include "modellib/graph/status_macros.h"

namespace modellib {

uint64_t ConstantPool::content_hash(const Tensor& tensor) {
  auto& known = hashed_[tensor.data()];
  for (const auto& [other, hash] : known) {
    if (other.dtype() == tensor.dtype() && other.shape() == tensor.shape()) return hash;
  }
  known.emplace_back(tensor, tensor.content_hash());
  return known.back().second;
}

int ConstantPool::add(Tensor tensor, uint64_t hash, absl::string_view name) {
  auto [it, inserted] = index_.try_emplace(hash, static_cast<int>(items_.size()));
  if (inserted) items_.push_back({std::move(tensor), hash, std::string(name)});
  return it->second;
}

int ConstantPool::raw(const Tensor& tensor, absl::string_view name) {
  return add(tensor, content_hash(tensor), name);
}

absl::StatusOr<int> ConstantPool::pack(const Tensor& source, const PackedConstant& packed,
                                       absl::string_view name) {
  const uint64_t hash =
      XXH3_64bits_withSeed(packed.layout.data(), packed.layout.size(), content_hash(source));
  if (auto it = index_.find(hash); it != index_.end()) return it->second;
  MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, packed.pack(source));
  return add(std::move(tensor), hash, name);
}

}  // namespace modellib
