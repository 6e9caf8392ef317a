#include "modellib/passes/slot_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/formats/plan_ranges.h"
#include "modellib/graph/status_macros.h"

namespace modellib {

int SlotTable::symbol(const std::string& name) {
  auto it = std::find(symbols_.begin(), symbols_.end(), name);
  if (it == symbols_.end()) it = symbols_.insert(symbols_.end(), name);
  return static_cast<int>(it - symbols_.begin());
}

bool SlotTable::is_bounded(const Dim& dim) const {
  const std::vector<std::string> symbols = dim.symbols();
  return std::all_of(symbols.begin(), symbols.end(), [&](const std::string& symbol) {
    const auto known = ranges_.find(symbol);
    return known != ranges_.end() && known->second.max != DimRange::kUnbounded;
  });
}

absl::StatusOr<fb::Scalar> SlotTable::scalar(const Dim& dim) {
  if (dim.is_static()) return fb::Scalar(dim.value(), -1);
  if (dim.is_too_large()) {
    return absl::InvalidArgumentError("an extent's expression is too large");
  }
  const DimRange range = dim.range(ranges_);
  if (range.max == DimRange::kUnbounded && is_bounded(dim)) {
    return absl::InvalidArgumentError(
        absl::StrCat("extent ", dim.to_string(), " is too large: its maximum is beyond 2^63 - 2"));
  }
  if (range.max == DimRange::kUnbounded) {
    const std::vector<std::string> symbols = dim.symbols();
    return absl::InvalidArgumentError(
        absl::StrCat("extent ", dim.to_string(), " has no maximum: give a range or a number for ",
                     absl::StrJoin(symbols, ", "), " (as in --dim ", symbols.front(), "=1..1000)"));
  }
  auto [it, inserted] = index_.try_emplace(dim.to_string(), static_cast<int>(slots_.size()));
  if (inserted) {
    auto slot = std::make_unique<fb::SlotT>();
    slot->expr = code_of(dim, range);
    slot->min = range.min;
    slot->max = range.max;
    slots_.push_back(std::move(slot));
  }
  return fb::Scalar(range.max, it->second);
}

std::vector<fb::DimOp> SlotTable::code_of(const Dim& dim, const DimRange& range) {
  std::vector<fb::DimOp> code = code_of(dim);
  std::vector<ValueRange> symbols;
  for (const std::string& name : symbols_) {
    const DimRange of_symbol = range_of_symbol(name);
    symbols.push_back({of_symbol.min, of_symbol.max});
  }
  const absl::StatusOr<ValueRange> loose = expression_range(code, symbols);
  const auto limit = [&](fb::DimOpcode opcode, int64_t value) {
    code.emplace_back(fb::DimOpcode::Const, value);
    code.emplace_back(opcode, 0);
  };
  if (loose.ok() && loose->min < range.min) limit(fb::DimOpcode::Max, range.min);
  if (loose.ok() && loose->max > range.max) limit(fb::DimOpcode::Min, range.max);
  return code;
}

std::vector<fb::DimOp> SlotTable::code_of(const Dim& dim) {
  std::vector<fb::DimOp> code;
  for (const Dim::Instruction& i : dim.to_postfix()) {
    const int64_t value = i.opcode == Dim::Opcode::kSymbol ? symbol(i.symbol) : i.value;
    code.emplace_back(static_cast<fb::DimOpcode>(i.opcode), value);
  }
  return code;
}

DimRange SlotTable::range_of_symbol(const std::string& name) const {
  const auto it = ranges_.find(name);
  return it == ranges_.end() ? DimRange{} : it->second;
}

void SlotTable::require(const Graph::Constraint& constraint) {
  auto out = std::make_unique<fb::ConstraintT>();
  out->left = code_of(constraint.left);
  out->right = code_of(constraint.right);
  out->left_text = constraint.left.to_string();
  out->right_text = constraint.right.to_string();
  out->reason = constraint.reason;
  constraints_.push_back(std::move(out));
}

void SlotTable::take(fb::EntryT& entry) {
  for (const std::string& name : symbols_) {
    auto symbol = std::make_unique<fb::SymbolT>();
    symbol->name = name;
    const DimRange range = range_of_symbol(name);
    symbol->min = range.min;
    symbol->max = range.max;
    entry.symbols.push_back(std::move(symbol));
  }
  entry.slots = std::move(slots_);
  entry.constraints = std::move(constraints_);
}

}  // namespace modellib
