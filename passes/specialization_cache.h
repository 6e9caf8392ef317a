// Plans of one program for each binding of its free dimensions: planned once for each distinct
// binding, kept within a bound, and able to say why it planned again.
#ifndef MODELLIB_PASSES_SPECIALIZATION_CACHE_H_
#define MODELLIB_PASSES_SPECIALIZATION_CACHE_H_

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/passes/compile.h"

namespace modellib {

// Thread-safe; compiles under its lock, so that two callers with one binding compile once.
class SpecializationCache {
 public:
  // At most `capacity` plans stay, the least recently used goes first. `registry` and `backend`
  // must outlive the cache. `options.dims` hold for every binding.
  SpecializationCache(Program program, const OpRegistry& registry, const Backend& backend,
                      CompileOptions options = {}, size_t capacity = 8);

  // The plan for exactly this binding of symbols to extents.
  absl::StatusOr<std::shared_ptr<const CompileResult>> get(const DimBinding& binding);

  struct Event {
    DimBinding binding;
    std::string
        reason;  // "first plan", "batch is 16, planned for 8", "planned before, evicted since"
  };
  // Every time it planned, oldest first; the last 64 are kept. That a binding was planned before is
  // known of the last 4096.
  std::vector<Event> events() const;
  int64_t compilations() const;

 private:
  struct Item {
    DimBinding binding;
    std::shared_ptr<const CompileResult> result;
  };
  std::string reason_for(const DimBinding& binding) const;
  void remember(const DimBinding& binding);

  const Program program_;
  const OpRegistry& registry_;
  const Backend& backend_;
  const CompileOptions options_;
  const size_t capacity_;

  mutable std::mutex mutex_;
  std::list<Item> items_;  // most recently used first
  std::vector<Event> events_;
  std::deque<uint64_t> planned_;  // hashes of bindings, oldest first, each once
  int64_t compilations_ = 0;
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_SPECIALIZATION_CACHE_H_
