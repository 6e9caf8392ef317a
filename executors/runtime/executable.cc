#include "modellib/executors/runtime/executable.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/floating_point.h"
#include "modellib/executors/runtime/fork_guard.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

template <class Range, class NameOf>
absl::StatusOr<int> find_name(absl::string_view what, absl::string_view name, const Range& range,
                              const NameOf& name_of) {
  int i = 0;
  for (const auto& item : range) {
    if (name_of(item) == name) return i;
    ++i;
  }
  return absl::NotFoundError(absl::StrCat(
      "no ", what, " '", name,
      "'; there is: ", absl::StrJoin(range, ", ", [&](std::string* out, const auto& item) {
        out->append(name_of(item));
      })));
}

constexpr auto kNameOf = [](const auto& item) -> const std::string& { return item.name; };

}  // namespace

Executable::Executable(std::unique_ptr<const ProgramImage> image) : image_(std::move(image)) {}
Executable::~Executable() = default;

absl::StatusOr<std::shared_ptr<const Executable>> Executable::load(
    std::shared_ptr<const PlanFile> file, const KernelTable& kernels, const LoadOptions& options) {
  const ForkBarrier barrier;
  const FloatingPointScope floating_point;
  MODELLIB_ASSIGN_OR_RETURN(auto image, load_program(std::move(file), kernels, options));
  return std::shared_ptr<const Executable>(new Executable(std::move(image)));
}

absl::StatusOr<EntryId> Executable::entry(absl::string_view name) const {
  MODELLIB_ASSIGN_OR_RETURN(
      const int index,
      find_name("entry", name, image_->entries,
                [](const EntryImage& e) -> const std::string& { return e.info.name; }));
  return EntryId(index);
}

absl::StatusOr<int> Executable::input(EntryId entry, absl::string_view name) const {
  return find_name("input", name, info(entry).inputs, kNameOf);
}

absl::StatusOr<int> Executable::output(EntryId entry, absl::string_view name) const {
  return find_name("output", name, info(entry).outputs, kNameOf);
}

absl::StatusOr<int> Executable::symbol(EntryId entry, absl::string_view name) const {
  return find_name("symbol", name, info(entry).symbols, kNameOf);
}

absl::StatusOr<std::vector<int64_t>> Executable::input_shape(
    EntryId entry, int input, absl::Span<const int64_t> symbols) const {
  const EntryInfo& info = this->info(entry);
  const auto i = static_cast<size_t>(input);
  if (input < 0 || i >= info.inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat("no input ", input));
  }
  if (symbols.size() != info.symbols.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(symbols.size(), " values for ", info.symbols.size(), " symbols"));
  }
  for (size_t s = 0; s < symbols.size(); ++s) {
    const SymbolInfo& symbol = info.symbols[s];
    if (symbols[s] >= symbol.min && symbols[s] <= symbol.max) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("entry '", info.name, "': ", symbol.name, " = ", symbols[s],
                     " was not planned; the plan holds for ", symbol.min, " to ", symbol.max));
  }
  const EntryImage& image = image_->entries[static_cast<size_t>(entry.index())];
  std::vector<int64_t> shape = info.inputs[i].max_shape;
  for (size_t d = 0; d < shape.size(); ++d) {
    const int symbol = info.inputs[i].symbols[d];
    const int slot = image.inputs[i].shape[d].slot;
    if (symbol >= 0) {
      shape[d] = symbols[static_cast<size_t>(symbol)];
    } else if (slot >= 0) {
      const auto extent = evaluate(image.slots[static_cast<size_t>(slot)], symbols);
      if (!extent.ok()) return absl::FailedPreconditionError(extent.status().message());
      shape[d] = *extent;
    }
  }
  return shape;
}

int Executable::entry_count() const { return static_cast<int>(image_->entries.size()); }

const EntryInfo& Executable::info(EntryId entry) const {
  static const auto* const none = new EntryInfo();
  const auto index = static_cast<size_t>(entry.index());
  if (entry.index() < 0 || index >= image_->entries.size()) return *none;
  return image_->entries[index].info;
}

absl::Span<const VariableInfo> Executable::variables() const { return image_->variables; }

uint64_t Executable::session_bytes() const { return image_->session_bytes; }

}  // namespace modellib::runtime
