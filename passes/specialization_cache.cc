#include "modellib/passes/specialization_cache.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

constexpr size_t kMaxEvents = 64;
constexpr size_t kMaxPlanned = 4096;

uint64_t key_of(const DimBinding& binding) {
  std::string text;
  for (const auto& [symbol, extent] : binding) absl::StrAppend(&text, symbol, "=", extent, ",");
  return XXH3_64bits(text.data(), text.size());
}

}  // namespace

SpecializationCache::SpecializationCache(Program program, const OpRegistry& registry,
                                         const Backend& backend, CompileOptions options,
                                         size_t capacity)
    : program_(std::move(program)),
      registry_(registry),
      backend_(backend),
      options_(std::move(options)),
      capacity_(std::max<size_t>(1, capacity)) {}

absl::StatusOr<std::shared_ptr<const CompileResult>> SpecializationCache::get(
    const DimBinding& binding) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto it = items_.begin(); it != items_.end(); ++it) {
    if (it->binding != binding) continue;
    items_.splice(items_.begin(), items_, it);
    return it->result;
  }
  CompileOptions options = options_;
  for (const auto& [symbol, extent] : binding) options.dims[symbol] = {extent, extent};
  MODELLIB_ASSIGN_OR_RETURN(CompileResult compiled,
                            compile(program_, registry_, backend_, options));
  if (events_.size() == kMaxEvents) events_.erase(events_.begin());
  events_.push_back({binding, reason_for(binding)});
  remember(binding);
  ++compilations_;
  items_.push_front({binding, std::make_shared<const CompileResult>(std::move(compiled))});
  if (items_.size() > capacity_) items_.pop_back();
  return items_.front().result;
}

std::string SpecializationCache::reason_for(const DimBinding& binding) const {
  if (events_.empty()) return "first plan";
  if (std::find(planned_.begin(), planned_.end(), key_of(binding)) != planned_.end()) {
    return "planned before, evicted since";
  }
  // What differs from the plan used last.
  std::vector<std::string> differences;
  const DimBinding& last = items_.empty() ? events_.back().binding : items_.front().binding;
  for (const auto& [symbol, extent] : binding) {
    auto it = last.find(symbol);
    if (it == last.end()) {
      differences.push_back(absl::StrCat(symbol, " is ", extent, ", was free"));
    } else if (it->second != extent) {
      differences.push_back(absl::StrCat(symbol, " is ", extent, ", planned for ", it->second));
    }
  }
  for (const auto& [symbol, extent] : last) {
    if (!binding.contains(symbol))
      differences.push_back(absl::StrCat(symbol, " is free, was ", extent));
  }
  return absl::StrJoin(differences, "; ");
}

void SpecializationCache::remember(const DimBinding& binding) {
  const uint64_t hash = key_of(binding);
  const auto known = std::find(planned_.begin(), planned_.end(), hash);
  if (known != planned_.end()) planned_.erase(known);
  planned_.push_back(hash);
  if (planned_.size() > kMaxPlanned) planned_.pop_front();
}

std::vector<SpecializationCache::Event> SpecializationCache::events() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return events_;
}

int64_t SpecializationCache::compilations() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return compilations_;
}

}  // namespace modellib
