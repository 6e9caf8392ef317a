#include "modellib/passes/autocast.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/matmul.h"
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
};
constexpr uint32_t bits(std::initializer_list<int> operands) {
  uint32_t set = 0;
  for (int i : operands) set |= uint32_t{1} << i;
  return set;
}
constexpr Entry kTable[] = {
    {"attention", Precision::kNarrow, bits({0, 1, 2, 3})},             // not lengths, key
    {"attention_grad", Precision::kNarrow, bits({0, 1, 2, 3, 4, 6})},  // not lse, lengths, key
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
