// What stands around the steps of an entry: symbols, slots, constraints, inputs, outputs, the
// variables that it uses.
#include "modellib/executors/runtime/entry_loader.h"

#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/plan_checks.h"
#include "modellib/executors/runtime/step_loader.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

class EntryLoader {
 public:
  EntryLoader(const fb::Plan& plan, const fb::Entry& source, const KernelTable& kernels,
              ProgramImage& program, EntryImage& entry)
      : plan_(plan), source_(source), kernels_(kernels), program_(program), entry_(entry) {}

  absl::Status load() {
    entry_.info.name = text(source_.name());
    entry_.info.planned_bytes = source_.planned_bytes();
    entry_.info.lower_bound_bytes = source_.lower_bound_bytes();
    MODELLIB_RETURN_IF_ERROR(load_symbols());
    MODELLIB_RETURN_IF_ERROR(load_slots());
    MODELLIB_RETURN_IF_ERROR(load_constraints());
    MODELLIB_RETURN_IF_ERROR(
        load_tensors("input", source_.inputs(), true, entry_.info.inputs, entry_.inputs));
    MODELLIB_RETURN_IF_ERROR(
        load_tensors("output", source_.outputs(), false, entry_.info.outputs, entry_.outputs));
    MODELLIB_RETURN_IF_ERROR(load_variable_uses());
    entry_.arenas.resize(size_of(source_.arenas()));
    for (uint32_t i = 0; i < entry_.arenas.size(); ++i) entry_.arenas[i].arena = i;
    MODELLIB_RETURN_IF_ERROR(StepLoader(plan_, source_, kernels_, program_, entry_).load());
    return order_lanes();
  }

 private:
  absl::Status load_symbols() {
    for (uint32_t i = 0; i < size_of(source_.symbols()); ++i) {
      const fb::Symbol& s = *source_.symbols()->Get(i);
      SymbolInfo info{text(s.name()), s.min(), s.max()};
      if (info.min > info.max) {
        return bad_entry(entry_, "symbol '", info.name, "' has the range ", info.min, " to ",
                         info.max);
      }
      entry_.symbol_sources.push_back(info.name == "$rank"    ? SymbolSource::kRank
                                      : info.name == "$world" ? SymbolSource::kWorld
                                                              : SymbolSource::kCaller);
      entry_.info.symbols.push_back(std::move(info));
    }
    return absl::OkStatus();
  }

  absl::Status load_slots() {
    for (uint32_t i = 0; i < size_of(source_.slots()); ++i) {
      const fb::Slot& s = *source_.slots()->Get(i);
      SlotImage slot{{}, s.min(), s.max()};
      MODELLIB_RETURN_IF_ERROR(load_expression("slot", i, s.expr(), slot));
      entry_.slots.push_back(std::move(slot));
    }
    return absl::OkStatus();
  }

  absl::Status load_constraints() {
    constexpr auto kMin = std::numeric_limits<int64_t>::min();
    constexpr auto kMax = std::numeric_limits<int64_t>::max();
    for (uint32_t i = 0; i < size_of(source_.constraints()); ++i) {
      const fb::Constraint& c = *source_.constraints()->Get(i);
      ConstraintImage constraint{{{}, kMin, kMax},
                                 {{}, kMin, kMax},
                                 text(c.left_text()),
                                 text(c.right_text()),
                                 text(c.reason())};
      MODELLIB_RETURN_IF_ERROR(load_expression("constraint", i, c.left(), constraint.left));
      MODELLIB_RETURN_IF_ERROR(load_expression("constraint", i, c.right(), constraint.right));
      entry_.constraints.push_back(std::move(constraint));
    }
    return absl::OkStatus();
  }

  absl::Status load_expression(absl::string_view what, uint32_t which,
                               const flatbuffers::Vector<const fb::DimOp*>* expression,
                               SlotImage& into) const {
    int depth = 0;
    for (uint32_t k = 0; k < size_of(expression); ++k) {
      const fb::DimOp& op = *expression->Get(k);
      if (op.code() > fb::DimOpcode::Max) {
        return bad_entry(entry_, what, " ", which, " has an unknown opcode");
      }
      const auto code = static_cast<DimOpcode>(op.code());
      if (code == DimOpcode::kSymbol &&
          (op.value() < 0 || op.value() >= static_cast<int64_t>(entry_.info.symbols.size()))) {
        return bad_entry(entry_, what, " ", which, " reads symbol ", op.value(), " of ",
                         entry_.info.symbols.size());
      }
      depth += code == DimOpcode::kConst || code == DimOpcode::kSymbol ? 1 : -1;
      if (depth < 1 || depth > kMaxDimStack) {
        return bad_entry(entry_, what, " ", which, " is no expression");
      }
      into.code.push_back({code, op.value()});
    }
    if (depth != 1) return bad_entry(entry_, what, " ", which, " is no expression");
    return absl::OkStatus();
  }

  // `binds`: extents set the symbols that they are.
  absl::Status load_tensors(absl::string_view what,
                            const flatbuffers::Vector<flatbuffers::Offset<fb::TensorDesc>>* descs,
                            bool binds, std::vector<TensorInfo>& infos,
                            std::vector<TensorImage>& images) {
    for (uint32_t i = 0; i < size_of(descs); ++i) {
      const fb::TensorDesc& desc = *descs->Get(i);
      TensorInfo info;
      TensorImage image;
      info.name = text(desc.name());
      info.bytes = desc.bytes();
      info.dynamic = false;
      const std::string which = absl::StrCat(what, " '", info.name, "'");
      MODELLIB_ASSIGN_OR_RETURN(info.dtype, checked_dtype(desc.dtype(), which));
      const uint32_t rank = size_of(desc.shape());
      const uint32_t symbols = size_of(desc.symbols());
      if (symbols != 0 && symbols != rank) {
        return bad_entry(entry_, what, " '", info.name, "' has rank ", rank, " but symbols for ",
                         symbols);
      }
      for (uint32_t d = 0; d < rank; ++d) {
        MODELLIB_ASSIGN_OR_RETURN(ScalarImage extent,
                                  checked_scalar(entry_, *desc.shape()->Get(d)));
        const int symbol = symbols == 0 ? -1 : desc.symbols()->Get(d);
        if (symbol >= static_cast<int>(entry_.info.symbols.size())) {
          return bad_entry(entry_, what, " '", info.name, "' binds symbol ", symbol);
        }
        int64_t max = max_of(entry_, extent);
        if (symbol >= 0) {
          const auto s = static_cast<size_t>(symbol);
          max = entry_.info.symbols[s].max;
          if (binds && entry_.symbol_sources[s] == SymbolSource::kCaller) {
            entry_.symbol_sources[s] = SymbolSource::kInput;
          }
        }
        info.dynamic = info.dynamic || symbol >= 0 || extent.slot >= 0;
        if (min_of(entry_, extent) < 0 && extent.slot >= 0) {
          return bad_entry(entry_, what, " '", info.name, "' can have a negative extent");
        }
        info.max_shape.push_back(max);
        info.symbols.push_back(symbol < 0 ? -1 : symbol);
        image.shape.push_back(extent);
      }
      MODELLIB_ASSIGN_OR_RETURN(const uint64_t bytes,
                                checked_bytes(info.dtype, info.max_shape, which));
      // Where extents vary together, the plan may have a larger bound of their product than the one
      // of their maxima. What does not vary is bound with just its bytes.
      const bool fits =
          info.dynamic ? info.bytes >= bytes && info.bytes <= kMaxBytes : info.bytes == bytes;
      if (!fits) {
        return bad_entry(entry_, what, " '", info.name, "' has ", info.bytes,
                         " bytes, but its shape [", absl::StrJoin(info.max_shape, ","), "] has ",
                         bytes);
      }
      infos.push_back(std::move(info));
      images.push_back(std::move(image));
    }
    return absl::OkStatus();
  }

  absl::Status load_variable_uses() {
    entry_.info.writes_variables = false;
    std::vector<bool> used(program_.variables.size(), false);
    for (uint32_t i = 0; i < size_of(source_.variables()); ++i) {
      const fb::VariableUse& use = *source_.variables()->Get(i);
      if (use.variable() >= program_.variables.size() || used[use.variable()]) {
        return bad_entry(entry_, "it uses variable ", use.variable(), ", which is none, or twice");
      }
      used[use.variable()] = true;
      entry_.variables.push_back({use.variable(), use.reads(), use.writes(), {}});
      if (use.writes() && program_.variables[use.variable()].kind != VariableKind::kSession) {
        entry_.info.writes_variables = true;
      }
    }
    return absl::OkStatus();
  }

  absl::Status order_lanes() {
    const Slice main = entry_.sequences[0];
    for (uint32_t i = main.begin; i < main.begin + main.count; ++i) {
      const size_t lane = entry_.steps[i].lane;
      if (lane >= entry_.lanes.size()) entry_.lanes.resize(lane + 1);
      entry_.lanes[lane].push_back(i);
    }
    if (entry_.lanes.empty()) entry_.lanes.resize(1);
    entry_.info.lanes = static_cast<int>(entry_.lanes.size());
    return absl::OkStatus();
  }

  const fb::Plan& plan_;
  const fb::Entry& source_;
  const KernelTable& kernels_;
  ProgramImage& program_;
  EntryImage& entry_;
};

}  // namespace

absl::Status load_entry(const fb::Plan& plan, const fb::Entry& source, const KernelTable& kernels,
                        ProgramImage& program, EntryImage& entry) {
  return EntryLoader(plan, source, kernels, program, entry).load();
}

}  // namespace modellib::runtime
