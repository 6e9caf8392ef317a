#include <chrono>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/capi/handles.h"
#include "modellib/frontends/capi/status.h"

namespace modellib::capi {
namespace {

using runtime::EntryId;
using runtime::EntryInfo;
using runtime::Executable;

// modellib_dtype and modellib_tensor_info.dims show what lies in our own structures.
static_assert(MODELLIB_F64 == static_cast<int>(DType::kF64));
static_assert(MODELLIB_BOOL == static_cast<int>(DType::kBool));
static_assert(MODELLIB_F8E5M2 == static_cast<int>(DType::kF8E5M2));
static_assert(std::is_same_v<int, int32_t>);

void describe(const PlanFile& file, const Executable& executable, const Log& log) {
  for (int i = 0; log.wants(MODELLIB_LOG_INFO) && i < executable.entry_count(); ++i) {
    const EntryInfo& info = executable.info(EntryId(i));
    log.write(
        MODELLIB_LOG_INFO,
        absl::StrFormat("entry '%s': %d steps, %d inputs, %d outputs, %d planned bytes", info.name,
                        info.steps, info.inputs.size(), info.outputs.size(), info.planned_bytes));
  }
  std::vector<std::string> plain;
  for (flatbuffers::uoffset_t i = 0;
       file.plan().kernels() != nullptr && i < file.plan().kernels()->size(); ++i) {
    const std::string name = file.plan().kernels()->Get(i)->str();
    const runtime::Kernel* const kernel = cpu::cpu_kernel_table().find(name);
    if (kernel != nullptr && kernel->plain) plain.push_back(name);
  }
  if (plain.empty()) return;
  log.write(MODELLIB_LOG_WARNING,
            absl::StrCat("the plan has steps on plain kernels, which are right but not fast: ",
                         absl::StrJoin(plain, ", ")));
}

// What the functions that load have in common. `open` is PlanFile::open of some source.
template <class Open>
modellib_status load(const modellib_load_options* given, modellib_plan** plan, const Open& open) {
  if (plan != nullptr) *plan = nullptr;
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(plan != nullptr, "plan"));
    MODELLIB_ASSIGN_OR_RETURN(const modellib_load_options options,
                              in_full(given, "modellib_load_options"));
    MODELLIB_ASSIGN_OR_RETURN(const Log log, Log::create(options.log));
    ContainerOptions container;
    container.trusted = options.untrusted == 0;
    container.copy = options.copy != 0;
    MODELLIB_ASSIGN_OR_RETURN(container.allocator, allocator_of(options.allocator));
    const auto start = std::chrono::steady_clock::now();
    MODELLIB_ASSIGN_OR_RETURN(std::shared_ptr<const PlanFile> file, open(container));
    MODELLIB_ASSIGN_OR_RETURN(std::unique_ptr<modellib_plan> loaded,
                              load_plan(std::move(file), log));
    if (log.wants(MODELLIB_LOG_INFO)) {
      const std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start;
      log.write(MODELLIB_LOG_INFO, absl::StrFormat("plan loaded in %.2f ms", took.count()));
    }
    *plan = loaded.release();
    return absl::OkStatus();
  });
}

// The entry of a plan, whatever the caller gave.
absl::StatusOr<const EntryInfo*> find_entry(const modellib_plan* plan, int32_t entry) {
  MODELLIB_RETURN_IF_ERROR(require(plan != nullptr, "plan"));
  const int count = plan->executable->entry_count();
  if (entry < 0 || entry >= count) {
    return absl::OutOfRangeError(absl::StrCat("no entry ", entry, "; the plan has ", count));
  }
  return &plan->executable->info(EntryId(entry));
}

template <class Item>
absl::StatusOr<const Item*> item_of(const std::vector<Item>& items, int32_t index,
                                    absl::string_view what) {
  if (index < 0 || static_cast<size_t>(index) >= items.size()) {
    return absl::OutOfRangeError(
        absl::StrCat("no ", what, " ", index, "; the entry has ", items.size()));
  }
  return &items[static_cast<size_t>(index)];
}

absl::Status describe_tensor(const std::vector<runtime::TensorInfo>& tensors, int32_t index,
                             absl::string_view what, modellib_tensor_info* info) {
  MODELLIB_ASSIGN_OR_RETURN(const runtime::TensorInfo* tensor, item_of(tensors, index, what));
  modellib_tensor_info full = {};
  full.name = tensor->name.c_str();
  full.dtype = static_cast<modellib_dtype>(tensor->dtype);
  full.rank = static_cast<int32_t>(tensor->max_shape.size());
  full.max_extents = tensor->max_shape.data();
  full.dims = tensor->symbols.data();
  full.max_bytes = tensor->bytes;
  full.dynamic = tensor->dynamic ? 1 : 0;
  return fill(info, full, "modellib_tensor_info");
}

// Finds `name` with `find`, a member function of Executable.
template <class Find>
modellib_status find_name(const modellib_plan* plan, int32_t entry, const char* name,
                          int32_t* index, const Find& find) {
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(name != nullptr, "name"));
    MODELLIB_RETURN_IF_ERROR(require(index != nullptr, "index"));
    MODELLIB_RETURN_IF_ERROR(find_entry(plan, entry).status());
    MODELLIB_ASSIGN_OR_RETURN(*index, (*plan->executable.*find)(EntryId(entry), name));
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<modellib_plan>> load_plan(std::shared_ptr<const PlanFile> file,
                                                         const Log& log) {
  const runtime::ForkBarrier barrier;  // the table of kernels is made when it is first wanted
  auto plan = std::make_unique<modellib_plan>();
  MODELLIB_ASSIGN_OR_RETURN(plan->executable, Executable::load(file, cpu::cpu_kernel_table()));
  plan->file = std::move(file);
  describe(*plan->file, *plan->executable, log);
  return plan;
}

}  // namespace modellib::capi

using namespace modellib::capi;  // NOLINT(google-build-using-namespace): the API's functions follow
using modellib::PlanFile;
using modellib::runtime::EntryId;
using modellib::runtime::Executable;

modellib_status modellib_plan_load_file(const char* path, const modellib_load_options* options,
                                        modellib_plan** plan) {
  return load(options, plan,
              [&](const auto& container) -> absl::StatusOr<std::shared_ptr<const PlanFile>> {
                MODELLIB_RETURN_IF_ERROR(require(path != nullptr, "path"));
                return PlanFile::open(std::string(path), container);
              });
}

modellib_status modellib_plan_load_memory(const void* data, size_t bytes,
                                          const modellib_load_options* options,
                                          modellib_plan** plan) {
  return load(options, plan,
              [&](const auto& container) -> absl::StatusOr<std::shared_ptr<const PlanFile>> {
                MODELLIB_RETURN_IF_ERROR(require(data != nullptr, "data"));
                const modellib::SharedBytes shared = {{static_cast<const std::byte*>(data), bytes},
                                                      nullptr};
                return PlanFile::open(shared, container);
              });
}

modellib_status modellib_plan_load_reader(const modellib_reader* reader,
                                          const modellib_load_options* options,
                                          modellib_plan** plan) {
  return load(
      options, plan, [&](const auto& container) -> absl::StatusOr<std::shared_ptr<const PlanFile>> {
        MODELLIB_RETURN_IF_ERROR(require(reader != nullptr, "reader"));
        MODELLIB_ASSIGN_OR_RETURN(const modellib_reader full, in_full(reader, "modellib_reader"));
        MODELLIB_RETURN_IF_ERROR(require(full.read != nullptr, "modellib_reader.read"));
        HostReader bytes(full);
        return PlanFile::open(bytes, container);
      });
}

void modellib_plan_free(modellib_plan* plan) { delete plan; }

int32_t modellib_plan_entries(const modellib_plan* plan) {
  return plan == nullptr ? 0 : plan->executable->entry_count();
}

modellib_status modellib_plan_entry(const modellib_plan* plan, int32_t entry,
                                    modellib_entry_info* info) {
  return guarded([&]() -> absl::Status {
    MODELLIB_ASSIGN_OR_RETURN(const auto* found, find_entry(plan, entry));
    modellib_entry_info full = {};
    full.name = found->name.c_str();
    full.inputs = static_cast<int32_t>(found->inputs.size());
    full.outputs = static_cast<int32_t>(found->outputs.size());
    full.dims = static_cast<int32_t>(found->symbols.size());
    full.writes_variables = found->writes_variables ? 1 : 0;
    full.planned_bytes = found->planned_bytes;
    return fill(info, full, "modellib_entry_info");
  });
}

modellib_status modellib_plan_input(const modellib_plan* plan, int32_t entry, int32_t input,
                                    modellib_tensor_info* info) {
  return guarded([&]() -> absl::Status {
    MODELLIB_ASSIGN_OR_RETURN(const auto* found, find_entry(plan, entry));
    return describe_tensor(found->inputs, input, "input", info);
  });
}

modellib_status modellib_plan_output(const modellib_plan* plan, int32_t entry, int32_t output,
                                     modellib_tensor_info* info) {
  return guarded([&]() -> absl::Status {
    MODELLIB_ASSIGN_OR_RETURN(const auto* found, find_entry(plan, entry));
    return describe_tensor(found->outputs, output, "output", info);
  });
}

modellib_status modellib_plan_dim(const modellib_plan* plan, int32_t entry, int32_t dim,
                                  modellib_dim_info* info) {
  return guarded([&]() -> absl::Status {
    MODELLIB_ASSIGN_OR_RETURN(const auto* found, find_entry(plan, entry));
    MODELLIB_ASSIGN_OR_RETURN(const auto* symbol, item_of(found->symbols, dim, "dim"));
    modellib_dim_info full = {};
    full.name = symbol->name.c_str();
    full.min = symbol->min;
    full.max = symbol->max;
    return fill(info, full, "modellib_dim_info");
  });
}

modellib_status modellib_plan_find_entry(const modellib_plan* plan, const char* name,
                                         int32_t* entry) {
  return guarded([&]() -> absl::Status {
    MODELLIB_RETURN_IF_ERROR(require(plan != nullptr, "plan"));
    MODELLIB_RETURN_IF_ERROR(require(name != nullptr, "name"));
    MODELLIB_RETURN_IF_ERROR(require(entry != nullptr, "entry"));
    MODELLIB_ASSIGN_OR_RETURN(const EntryId found, plan->executable->entry(name));
    *entry = found.index();
    return absl::OkStatus();
  });
}

modellib_status modellib_plan_find_input(const modellib_plan* plan, int32_t entry, const char* name,
                                         int32_t* input) {
  return find_name(plan, entry, name, input, &Executable::input);
}

modellib_status modellib_plan_find_output(const modellib_plan* plan, int32_t entry,
                                          const char* name, int32_t* output) {
  return find_name(plan, entry, name, output, &Executable::output);
}

modellib_status modellib_plan_find_dim(const modellib_plan* plan, int32_t entry, const char* name,
                                       int32_t* dim) {
  return find_name(plan, entry, name, dim, &Executable::symbol);
}

uint64_t modellib_plan_session_bytes(const modellib_plan* plan) {
  return plan == nullptr ? 0 : plan->executable->session_bytes();
}
