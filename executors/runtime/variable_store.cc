#include "modellib/executors/runtime/variable_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/executors/runtime/session.h"
#include "modellib/executors/runtime/spin.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kMaxBytes = uint64_t{1} << 46;  // any one variable has less
constexpr int kBufferShift = 62;
constexpr uint64_t kCountMask = (uint64_t{1} << kBufferShift) - 1;

// Whether all that `entry` writes covers this variable of its executable.
bool writes(const EntryImage& entry, size_t variable) {
  return std::any_of(entry.variables.begin(), entry.variables.end(),
                     [&](const auto& use) { return use.writes && use.variable == variable; });
}

}  // namespace

VariableStore::VariableStore() : generation_(process_generation()) {}

// In a forked child the memory is left as it is: the allocator may be the host's, whose locks other
// threads of the parent held.
VariableStore::~VariableStore() {
  if (generation_ == process_generation()) return;
  for (std::shared_ptr<const void>& memory : memory_) {
    static_cast<void>(new std::shared_ptr<const void>(std::move(memory)));
  }
  static_cast<void>(new std::shared_ptr<Allocator>(std::move(allocator_)));
}

absl::Status VariableStore::check_process() const {
  return check_generation(generation_, "variable store");
}

absl::StatusOr<std::shared_ptr<VariableStore>> VariableStore::create(
    absl::Span<const std::shared_ptr<const Executable>> executables,
    const VariableStoreOptions& options) {
  const ForkBarrier barrier;
  std::shared_ptr<VariableStore> store(new VariableStore());
  store->allocator_ = options.allocator;
  store->max_bytes_ = options.max_bytes;
  for (const auto& executable : executables) {
    if (executable == nullptr) return absl::InvalidArgumentError("no executable");
    MODELLIB_RETURN_IF_ERROR(store->add(*executable));
  }
  if (store->bytes_ > options.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the variables take ", store->bytes_,
                                                     " bytes; the limit is ", options.max_bytes));
  }
  MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, allocate_aligned(store->bytes_, options.allocator));
  std::memset(memory.data, 0, store->bytes_);
  store->memory_[0] = std::move(memory.owner);
  store->buffers_[0].store(memory.data, std::memory_order_release);
  MODELLIB_RETURN_IF_ERROR(store->initialise(executables, options, store));
  return store;
}

absl::Status VariableStore::add(const Executable& executable) {
  for (const VariableInfo& info : executable.variables()) {
    if (info.kind == VariableKind::kSession) continue;
    const int known = find(info.name);
    if (known < 0) {
      offsets_.push_back(bytes_);
      infos_.push_back(info);
      bytes_ = (bytes_ + info.bytes + kAlignment - 1) / kAlignment * kAlignment;
      if (bytes_ > kMaxBytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the variables take more than ", kMaxBytes, " bytes"));
      }
      continue;
    }
    const VariableInfo& other = infos_[static_cast<size_t>(known)];
    if (other.dtype != info.dtype || other.shape != info.shape || other.kind != info.kind) {
      return absl::InvalidArgumentError(absl::StrCat(
          "variable '", info.name, "' is ", modellib::to_string(other.dtype), "[",
          absl::StrJoin(other.shape, ","), "] in one executable and ",
          modellib::to_string(info.dtype), "[", absl::StrJoin(info.shape, ","), "] in another"));
    }
  }
  return absl::OkStatus();
}

// Segments win over "initialize", which runs only where some variable has no segment; it may then
// write all of them.
absl::Status VariableStore::initialise(
    absl::Span<const std::shared_ptr<const Executable>> executables,
    const VariableStoreOptions& options, const std::shared_ptr<VariableStore>& self) {
  std::vector<const std::byte*> segments(infos_.size(), nullptr);
  for (const auto& executable : executables) {
    for (size_t i = 0; i < executable->variables().size(); ++i) {
      const int index = index_of(executable->variables()[i]);
      const std::byte* const value = executable->image().initial_value(i);
      if (index >= 0 && segments[static_cast<size_t>(index)] == nullptr) {
        segments[static_cast<size_t>(index)] = value;
      }
    }
  }
  std::vector<bool> set(infos_.size());
  for (size_t i = 0; i < set.size(); ++i) set[i] = segments[i] != nullptr;
  for (const auto& executable : executables) {
    const absl::StatusOr<EntryId> entry = executable->entry("initialize");
    if (!entry.ok()) continue;
    const EntryImage& image = executable->image().entries[static_cast<size_t>(entry->index())];
    bool needed = false;
    for (size_t i = 0; i < executable->variables().size(); ++i) {
      const int index = index_of(executable->variables()[i]);
      if (index < 0 || !writes(image, i) || set[static_cast<size_t>(index)]) continue;
      set[static_cast<size_t>(index)] = true;
      needed = true;
    }
    if (needed) MODELLIB_RETURN_IF_ERROR(run_initialize(executable, *entry, options, self));
  }
  std::vector<std::string> missing;
  for (size_t i = 0; i < set.size(); ++i) {
    if (!set[i]) missing.push_back(infos_[i].name);
    if (segments[i] != nullptr && infos_[i].bytes != 0) {
      std::memcpy(address(0, i), segments[i], infos_[i].bytes);
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("nothing gives a first value to the variables ", absl::StrJoin(missing, ", ")));
}

absl::Status VariableStore::run_initialize(const std::shared_ptr<const Executable>& executable,
                                           EntryId entry, const VariableStoreOptions& options,
                                           const std::shared_ptr<VariableStore>& self) {
  SessionOptions session_options;
  session_options.threads = options.threads;
  session_options.max_bytes = options.max_bytes;
  session_options.allocator = options.allocator;
  MODELLIB_ASSIGN_OR_RETURN(auto session,
                            Session::create(executable, self, std::move(session_options)));
  const std::vector<TensorInfo>& inputs = executable->info(entry).inputs;
  const auto is_seed = [](const TensorInfo& input) {
    return input.dtype == DType::kI64 && input.max_shape.empty();
  };
  if (inputs.size() > 1 || !std::all_of(inputs.begin(), inputs.end(), is_seed)) {
    return absl::InvalidArgumentError("the entry 'initialize' takes one input, the seed, an i64[]");
  }
  if (!inputs.empty()) MODELLIB_RETURN_IF_ERROR(session->bind_input(entry, 0, &options.seed, {}));
  return session->run(entry, options.run);
}

int VariableStore::index_of(const VariableInfo& info) const {
  return info.kind == VariableKind::kSession ? -1 : find(info.name);
}

int VariableStore::find(absl::string_view name) const {
  const auto it = std::find_if(infos_.begin(), infos_.end(),
                               [&](const VariableInfo& info) { return info.name == name; });
  return it == infos_.end() ? -1 : static_cast<int>(it - infos_.begin());
}

absl::Status VariableStore::begin_direct(bool writes) const {
  MODELLIB_RETURN_IF_ERROR(check_process());
  int64_t users = direct_.load(std::memory_order_relaxed);
  while (users == 0 || (!writes && users > 0)) {
    if (direct_.compare_exchange_weak(users, writes ? -1 : users + 1, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
      if (writes) changed_.store(true, std::memory_order_relaxed);
      return absl::OkStatus();
    }
  }
  return absl::FailedPreconditionError(
      users < 0 ? "the variables are being written by another run; a session that reads beside it "
                  "wants VariableAccess::kPublished"
                : "the variables are being read by another run, so this one cannot write; a "
                  "session that reads beside a writer wants VariableAccess::kPublished");
}

void VariableStore::end_direct(bool writes) const {
  direct_.fetch_add(writes ? 1 : -1, std::memory_order_release);
}

absl::StatusOr<std::unique_lock<std::mutex>> VariableStore::begin_access(bool writes) const {
  MODELLIB_RETURN_IF_ERROR(check_process());
  std::unique_lock<std::mutex> lock(accessing_);
  MODELLIB_RETURN_IF_ERROR(begin_direct(writes));
  return lock;
}

absl::StatusOr<Tensor> VariableStore::get(absl::string_view name) const {
  const int index = find(name);
  if (index < 0) return absl::NotFoundError(absl::StrCat("no variable '", name, "'"));
  const VariableInfo& info = infos_[static_cast<size_t>(index)];
  MODELLIB_ASSIGN_OR_RETURN(const auto access, begin_access(false));
  auto value = Tensor::copy_of(info.dtype, info.shape, address(live(), static_cast<size_t>(index)),
                               info.bytes);
  end_direct(false);
  return value;
}

absl::Status VariableStore::set(absl::string_view name, const Tensor& value) {
  const int index = find(name);
  if (index < 0) return absl::NotFoundError(absl::StrCat("no variable '", name, "'"));
  const VariableInfo& info = infos_[static_cast<size_t>(index)];
  if (value.dtype() != info.dtype || value.shape() != info.shape) {
    return absl::InvalidArgumentError(
        absl::StrCat("variable '", name, "' is ", modellib::to_string(info.dtype), "[",
                     absl::StrJoin(info.shape, ","), "], got ", modellib::to_string(value.dtype()),
                     "[", absl::StrJoin(value.shape(), ","), "]"));
  }
  MODELLIB_ASSIGN_OR_RETURN(const auto access, begin_access(true));
  if (info.bytes != 0) {
    std::memcpy(address(live(), static_cast<size_t>(index)), value.data(), info.bytes);
  }
  end_direct(true);
  return absl::OkStatus();
}

absl::Status VariableStore::register_reader() {
  const ForkBarrier barrier;
  const std::lock_guard<std::mutex> lock(publishing_);
  if (memory_[1] != nullptr) return absl::OkStatus();
  if (bytes_ > max_bytes_ - bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat("the variables take ", bytes_,
                                                     " bytes, and as many again for published "
                                                     "versions; the limit is ",
                                                     max_bytes_));
  }
  MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, allocate_aligned(bytes_, allocator_));
  std::memset(memory.data, 0, bytes_);
  memory_[1] = std::move(memory.owner);
  buffers_[1].store(memory.data, std::memory_order_release);
  return absl::OkStatus();
}

uint64_t VariableStore::reserved_bytes() const {
  return buffers_[1].load(std::memory_order_acquire) == nullptr ? bytes_ : 2 * bytes_;
}

// The writer's buffer becomes the published one, and the writer goes on in the other, once nobody
// reads it and the values have been copied there. So readers never wait and two buffers are enough.
// To those who use the values directly this is one more reader.
absl::Status VariableStore::publish() {
  MODELLIB_RETURN_IF_ERROR(check_process());
  const std::lock_guard<std::mutex> lock(publishing_);
  if (memory_[1] == nullptr) return absl::OkStatus();
  MODELLIB_RETURN_IF_ERROR(begin_access(false).status());
  if (!changed_.exchange(false, std::memory_order_relaxed) && published_versions() > 0) {
    // The published values are these already; and a direct run that began before they were
    // published still reads the other buffer, to which they would be copied.
    versions_.fetch_add(1, std::memory_order_acq_rel);
    end_direct(false);
    return absl::OkStatus();
  }
  const int shown = live_.load(std::memory_order_relaxed);
  const int next = 1 - shown;
  const uint64_t before = entered_.exchange(static_cast<uint64_t>(shown + 1) << kBufferShift,
                                            std::memory_order_acq_rel);
  const auto old = static_cast<int>(before >> kBufferShift) - 1;
  if (old >= 0) entered_before_[old] += before & kCountMask;
  await(left_[next], entered_before_[next]);
  std::memcpy(address_of_buffer(next), address_of_buffer(shown), bytes_);
  live_.store(next, std::memory_order_release);
  versions_.fetch_add(1, std::memory_order_acq_rel);
  end_direct(false);
  return absl::OkStatus();
}

int VariableStore::begin_published() {
  const uint64_t state = entered_.fetch_add(1, std::memory_order_acq_rel);
  return static_cast<int>(state >> kBufferShift) - 1;
}

void VariableStore::end_published(int buffer) {
  left_[buffer].fetch_add(1, std::memory_order_release);
  left_[buffer].notify_all();
}

}  // namespace modellib::runtime
