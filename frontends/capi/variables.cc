#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/capi/handles.h"
#include "modellib/frontends/capi/status.h"
#include "modellib/graph/tensor.h"

using modellib::capi::fill;
using modellib::capi::guarded;
using modellib::capi::in_full;
using modellib::capi::require;
using modellib::runtime::VariableInfo;
using modellib::runtime::VariableStore;

namespace {

// What all functions do with variables: `body` gets them, unless a forked child has them of its
// parent.
template <class Body>
modellib_status with(const modellib_variables* variables, const Body& body) {
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(variables != nullptr, "variables"));
    MODELLIB_RETURN_IF_ERROR(variables->store->check_process());
    return body(*variables->store);
  });
}

absl::StatusOr<const VariableInfo*> find(const VariableStore& store, const char* name,
                                         size_t bytes) {
  MODELLIB_RETURN_IF_ERROR(require(name != nullptr, "name"));
  for (const VariableInfo& info : store.variables()) {
    if (info.name != name) continue;
    if (info.bytes == bytes) return &info;
    return absl::InvalidArgumentError(
        absl::StrCat("variable '", info.name, "' has ", info.bytes, " bytes, got ", bytes));
  }
  return absl::NotFoundError(absl::StrCat("no variable '", name, "'"));
}

}  // namespace

modellib_status modellib_variables_create(const modellib_plan* const* plans, size_t count,
                                          const modellib_variables_options* given,
                                          modellib_variables** variables) {
  if (variables != nullptr) *variables = nullptr;
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(plans != nullptr, "plans"));
    MODELLIB_RETURN_IF_ERROR(require(variables != nullptr, "variables"));
    MODELLIB_ASSIGN_OR_RETURN(const auto options, in_full(given, "modellib_variables_options"));
    std::vector<std::shared_ptr<const modellib::runtime::Executable>> executables;
    for (size_t i = 0; i < count; ++i) {
      MODELLIB_RETURN_IF_ERROR(require(plans[i] != nullptr, absl::StrCat("plans[", i, "]")));
      executables.push_back(plans[i]->executable);
    }
    modellib::runtime::VariableStoreOptions full;
    full.seed = options.seed;
    if (options.threads < 0)
      return absl::InvalidArgumentError(absl::StrCat("threads is ", options.threads));
    full.threads = options.threads == 0 ? 1 : options.threads;
    if (options.max_bytes != 0) full.max_bytes = options.max_bytes;
    MODELLIB_ASSIGN_OR_RETURN(full.allocator, modellib::capi::allocator_of(options.allocator));
    auto made = std::make_unique<modellib_variables>();
    MODELLIB_ASSIGN_OR_RETURN(made->store, VariableStore::create(executables, full));
    *variables = made.release();
    return absl::OkStatus();
  });
}

void modellib_variables_free(modellib_variables* variables) { delete variables; }

int32_t modellib_variables_count(const modellib_variables* variables) {
  int32_t count = 0;
  static_cast<void>(with(variables, [&](const VariableStore& store) {
    count = static_cast<int32_t>(store.variables().size());
    return absl::OkStatus();
  }));
  return count;
}

modellib_status modellib_variables_info(const modellib_variables* variables, int32_t index,
                                        modellib_variable_info* info) {
  return with(variables, [&](const VariableStore& store) -> absl::Status {
    const auto infos = store.variables();
    if (index < 0 || static_cast<size_t>(index) >= infos.size()) {
      return absl::OutOfRangeError(absl::StrCat("no variable ", index, " of ", infos.size()));
    }
    const VariableInfo& found = infos[static_cast<size_t>(index)];
    modellib_variable_info full = {};
    full.name = found.name.c_str();
    full.dtype = static_cast<modellib_dtype>(found.dtype);
    full.rank = static_cast<int32_t>(found.shape.size());
    full.extents = found.shape.data();
    full.bytes = found.bytes;
    return fill(info, full, "modellib_variable_info");
  });
}

modellib_status modellib_variables_get(const modellib_variables* variables, const char* name,
                                       void* into, size_t bytes) {
  return with(variables, [&](const VariableStore& store) -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(into != nullptr, "into"));
    MODELLIB_RETURN_IF_ERROR(find(store, name, bytes).status());
    MODELLIB_ASSIGN_OR_RETURN(const modellib::Tensor value, store.get(name));
    std::memcpy(into, value.data(), bytes);
    return absl::OkStatus();
  });
}

modellib_status modellib_variables_set(modellib_variables* variables, const char* name,
                                       const void* from, size_t bytes) {
  return with(variables, [&](VariableStore& store) -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(from != nullptr, "from"));
    MODELLIB_ASSIGN_OR_RETURN(const VariableInfo* info, find(store, name, bytes));
    MODELLIB_ASSIGN_OR_RETURN(
        const modellib::Tensor value,
        modellib::Tensor::borrowed(info->dtype, info->shape, from, bytes, nullptr));
    return store.set(name, value);
  });
}

modellib_status modellib_variables_publish(modellib_variables* variables) {
  return with(variables, [](VariableStore& store) { return store.publish(); });
}
