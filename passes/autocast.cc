#include "modellib/passes/autocast.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/passes/rebuild.h"
#include "modellib/passes/recast.h"

namespace modellib {
namespace {

// Bits of `operands`: those that are rounded. The others have a type of their own: indices, and
// statistics of rows, which are kept in f32.
struct Entry {
  const char* op;
  Precision precision;
  uint32_t operands;
  int mask = -1;  // the operand that is added to scores, if it is no bool
};
constexpr uint32_t bits(std::initializer_list<int> operands) {
  uint32_t set = 0;
  for (int i : operands) set |= uint32_t{1} << i;
  return set;
}
constexpr Entry kTable[] = {
    {"attention", Precision::kNarrow, bits({0, 1, 2, 3}), 3},             // not lengths, key
    {"attention_grad", Precision::kNarrow, bits({0, 1, 2, 3, 4, 6}), 6},  // not lse, lengths, key
    {"conv", Precision::kNarrow, bits({0, 1})},
    {"conv_filter_gradient", Precision::kNarrow, bits({0, 1})},
    {"conv_input_gradient", Precision::kNarrow, bits({0, 1})},
    {"gru_cell", Precision::kOpen, 0},
    {"lstm_cell", Precision::kOpen, 0},
    {"matmul", Precision::kNarrow, bits({0, 1})},
    {"rnn_cell", Precision::kOpen, 0},
};

const Entry* entry_of(absl::string_view op) {
  const auto* it = std::find_if(std::begin(kTable), std::end(kTable),
                                [&](const Entry& e) { return op == e.op; });
  return it == std::end(kTable) ? nullptr : it;
}

// Whoever asks for sums in f64 has no use for operands of eleven bits.
bool sums_in_f64(const Attributes& attributes) {
  if (attributes.is<MatmulAttributes>()) {
    return attributes.as<MatmulAttributes>().accumulate == DType::kF64;
  }
  return attributes.is<ConvAttributes>() &&
         attributes.as<ConvAttributes>().accumulate == DType::kF64;
}

// Whether some operand that the table rounds is f32.
bool rounds(const RebuildSite& site, const Entry& entry) {
  if (sums_in_f64(site.node.attributes)) return false;
  for (size_t i = 0; i < site.inputs.size(); ++i) {
    const bool named = (entry.operands >> i & 1) != 0;
    if (named && !site.inputs[i].is_null() && site.inputs[i].dtype() == DType::kF32) return true;
  }
  return false;
}

// A mask whose finite numbers stay finite in the narrow type. The least f32, with which models hide
// keys, would become -inf, and a row that sees no key NaN; what is infinite stays so.
Value in_range(Value mask, DType narrow) {
  const double largest = narrow == DType::kF16 ? 65504.0 : 0x1.FEp127;
  const Value finite = is_finite(mask);
  const Value cut = clamp(mask, {.min = -largest, .max = largest});
  return where(finite, cut, mask);
}

absl::StatusOr<GraphRef> open_composites(const GraphRef& graph, PassContext& context) {
  return rebuild(*graph, context.registry(),
                 [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                   const Entry* entry = entry_of(site.node.op->name);
                   if (entry == nullptr || entry->precision != Precision::kOpen)
                     return std::nullopt;
                   if (!context.may_rewrite()) return std::nullopt;
                   OpCall call{site.builder, *site.node.op, site.node.attributes, site.inputs, {}};
                   return site.node.op->decompose(call);
                 });
}

absl::StatusOr<GraphRef> autocast(const GraphRef& graph, PassContext& context, DType narrow) {
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef open, open_composites(graph, context));
  return rebuild(*open, context.registry(),
                 [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                   const Entry* entry = entry_of(site.node.op->name);
                   if (entry == nullptr || entry->precision != Precision::kNarrow ||
                       !rounds(site, *entry) || !context.may_rewrite()) {
                     return std::nullopt;
                   }
                   const auto mask = static_cast<size_t>(entry->mask);
                   if (entry->mask >= 0 && mask < site.inputs.size() &&
                       !site.inputs[mask].is_null() && site.inputs[mask].dtype() == DType::kF32) {
                     site.inputs[mask] = in_range(site.inputs[mask], narrow);
                   }
                   return emit_recast(site, [&](int i) {
                     const DType own = site.in(i).dtype();
                     const bool named = (entry->operands >> i & 1) != 0;
                     return named && own == DType::kF32 ? narrow : own;
                   });
                 });
}

}  // namespace

Precision precision_of(absl::string_view op) {
  const Entry* entry = entry_of(op);
  return entry == nullptr ? Precision::kKeep : entry->precision;
}

absl::StatusOr<GraphRef> autocast_f16(const GraphRef& graph, PassContext& context) {
  return autocast(graph, context, DType::kF16);
}
absl::StatusOr<GraphRef> autocast_bf16(const GraphRef& graph, PassContext& context) {
  return autocast(graph, context, DType::kBF16);
}

}  // namespace modellib
