#include "modellib/frontends/capi/host.h"

#include <tbb/task_arena.h>

#include <algorithm>

#include "modellib/frontends/capi/status.h"

namespace modellib::capi {
namespace {

class HostAllocator final : public Allocator {
 public:
  explicit HostAllocator(const modellib_allocator& given) : given_(given) {}
  void* allocate(size_t bytes, size_t alignment) override {
    return given_.allocate(given_.user, bytes, alignment);
  }
  void deallocate(void* memory, size_t bytes, size_t alignment) override {
    given_.deallocate(given_.user, memory, bytes, alignment);
  }

 private:
  const modellib_allocator given_;
};

class HostWorkers final : public runtime::Workers {
 public:
  HostWorkers(const modellib_workers& given, int threads) : given_(given), threads_(threads) {}
  int threads() const override { return threads_; }
  void summon(void (*help)(void*), void* context) override {
    given_.summon(given_.user, help, context);
  }

 private:
  const modellib_workers given_;
  const int threads_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Allocator>> allocator_of(const modellib_allocator* given) {
  if (given == nullptr) return nullptr;
  MODELLIB_ASSIGN_OR_RETURN(const modellib_allocator full, in_full(given, "modellib_allocator"));
  MODELLIB_RETURN_IF_ERROR(require(full.allocate != nullptr, "modellib_allocator.allocate"));
  MODELLIB_RETURN_IF_ERROR(require(full.deallocate != nullptr, "modellib_allocator.deallocate"));
  return std::make_shared<HostAllocator>(full);
}

absl::Status HostReader::read(uint64_t offset, absl::Span<std::byte> into) {
  const modellib_status status = given_.read(given_.user, offset, into.data(), into.size());
  return status == MODELLIB_OK ? absl::OkStatus() : callback_failed(status, "reader");
}

absl::StatusOr<std::shared_ptr<runtime::Workers>> workers_of(
    const modellib_session_options& options) {
  if (options.threads < 0) {
    return absl::InvalidArgumentError(absl::StrCat("threads is ", options.threads));
  }
  if (options.tbb_arena != nullptr && options.workers != nullptr) {
    return absl::InvalidArgumentError("tbb_arena and workers are both set");
  }
  if (options.tbb_arena != nullptr) {
    auto& arena = *static_cast<tbb::task_arena*>(options.tbb_arena);
    const int most = arena.max_concurrency();
    return runtime::tbb_workers(arena,
                                options.threads == 0 ? most : std::min(options.threads, most));
  }
  if (options.workers == nullptr) return nullptr;
  MODELLIB_ASSIGN_OR_RETURN(const modellib_workers full,
                            in_full(options.workers, "modellib_workers"));
  MODELLIB_RETURN_IF_ERROR(require(full.summon != nullptr, "modellib_workers.summon"));
  if (full.threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat("modellib_workers.threads is ", full.threads));
  }
  return std::make_shared<HostWorkers>(
      full, options.threads == 0 ? full.threads : std::min(options.threads, full.threads));
}

absl::StatusOr<Log> Log::create(const modellib_log* given) {
  Log log;
  if (given == nullptr) return log;
  MODELLIB_ASSIGN_OR_RETURN(log.sink_, in_full(given, "modellib_log"));
  MODELLIB_RETURN_IF_ERROR(require(log.sink_.write != nullptr, "modellib_log.write"));
  return log;
}

}  // namespace modellib::capi
