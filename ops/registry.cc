#include "modellib/ops/registry.h"

#include "modellib/ops/families.h"

namespace modellib {
namespace {

constexpr std::vector<OpDef> (*kFamilies[])() = {
#define MODELLIB_FAMILY_FUNCTION(name) name##_ops,
    MODELLIB_OP_FAMILIES(MODELLIB_FAMILY_FUNCTION)
#undef MODELLIB_FAMILY_FUNCTION
};

}  // namespace

absl::Status add_builtin_ops(OpRegistry& registry) {
  for (auto family : kFamilies) {
    for (OpDef& op : family()) {
      if (absl::Status s = registry.add(std::move(op)); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

OpRegistry make_builtin_registry() {
  OpRegistry registry;
  // Fails only on a mistake in the families; the registry test shows it.
  add_builtin_ops(registry).IgnoreError();
  return registry;
}

const OpRegistry& builtin_ops() {
  static const OpRegistry* const registry = new OpRegistry(make_builtin_registry());
  return *registry;
}

}  // namespace modellib
