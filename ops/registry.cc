#include "modellib/ops/registry.h"

#include "modellib/ops/families.h"

namespace modellib {

OpRegistry make_builtin_registry() {
  OpRegistry registry;
  for (auto family : {constant_ops}) {
    for (OpDef& op : family()) {
      // A clash of built-in names is a mistake in this list; the registry test shows it.
      registry.add(std::move(op)).IgnoreError();
    }
  }
  return registry;
}

const OpRegistry& builtin_ops() {
  static const OpRegistry* const registry = new OpRegistry(make_builtin_registry());
  return *registry;
}

}  // namespace modellib
