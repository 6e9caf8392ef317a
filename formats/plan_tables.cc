#include "modellib/formats/plan_tables.h"

#include <set>

namespace modellib {
namespace {

using Wide = __int128;

int bits_of(fb::DType dtype) {
  switch (dtype) {
    case fb::DType::I4:
    case fb::DType::U4:
      return 4;
    case fb::DType::I8:
    case fb::DType::U8:
    case fb::DType::Bool:
    case fb::DType::F8E4M3:
    case fb::DType::F8E5M2:
      return 8;
    case fb::DType::F16:
    case fb::DType::BF16:
    case fb::DType::I16:
    case fb::DType::U16:
      return 16;
    case fb::DType::F32:
    case fb::DType::I32:
    case fb::DType::U32:
      return 32;
    case fb::DType::F64:
    case fb::DType::I64:
    case fb::DType::U64:
      return 64;
    case fb::DType::String:
      return 0;
    default:
      return -1;
  }
}

// Bytes of a dense tensor, or false if an extent is negative or the product too large.
bool dense_bytes(const std::vector<int64_t>& shape, int bits, uint64_t* bytes) {
  Wide total = bits;
  for (int64_t extent : shape) {
    if (extent < 0) return false;
    total *= extent;
    if (total > Wide{kMaxPlanBytes} * 8) return false;
  }
  *bytes = static_cast<uint64_t>((total + 7) / 8);
  return true;
}

template <typename Vector>
bool is_aligned(const Vector* v) {
  return v == nullptr || reinterpret_cast<uintptr_t>(v->Data()) % 8 == 0;
}

// Whether the check holds for all tables of a vector.
template <typename Vector, typename Check>
bool all_of(const Vector* v, Check check) {
  for (uint32_t i = 0; i < count_of(v); ++i) {
    if (!check(*v->Get(i))) return false;
  }
  return true;
}

bool is_aligned_tensor(const fb::TensorDesc& t) { return is_aligned(t.shape()); }

bool is_aligned_step(const fb::Step& s) {
  return is_aligned(s.outputs()) && is_aligned(s.inputs()) && is_aligned(s.scalars()) &&
         all_of(s.values(), is_aligned_tensor);
}

bool is_aligned_entry(const fb::Entry& e) {
  const auto constraint = [](const fb::Constraint& c) {
    return is_aligned(c.left()) && is_aligned(c.right());
  };
  return all_of(e.slots(), [](const fb::Slot& s) { return is_aligned(s.expr()); }) &&
         all_of(e.constraints(), constraint) && all_of(e.inputs(), is_aligned_tensor) &&
         all_of(e.outputs(), is_aligned_tensor) && all_of(e.sequences(), [](const fb::Sequence& s) {
           return all_of(s.steps(), is_aligned_step);
         });
}

absl::Span<const fb::DimOp> operations(const flatbuffers::Vector<const fb::DimOp*>* expression) {
  if (expression == nullptr) return {};
  return {reinterpret_cast<const fb::DimOp*>(expression->Data()), expression->size()};
}

}  // namespace

absl::StatusOr<PlanScalars> PlanScalars::make(const fb::Entry& entry, const std::string& where) {
  PlanScalars out;
  for (uint32_t i = 0; i < count_of(entry.symbols()); ++i) {
    const fb::Symbol* s = entry.symbols()->Get(i);
    if (s->min() < 0 || s->max() < s->min()) {
      return refuse(where, ", symbol ", i, " '", text_of(s->name()), "': range [", s->min(), ", ",
                    s->max(), "] is empty or negative");
    }
    out.symbols_.push_back({s->min(), s->max()});
  }
  for (uint32_t i = 0; i < count_of(entry.slots()); ++i) {
    const fb::Slot* s = entry.slots()->Get(i);
    const absl::StatusOr<ValueRange> range = expression_range(operations(s->expr()), out.symbols_);
    if (!range.ok()) return refuse(where, ", slot ", i, ": ", range.status().message());
    if (range->min < s->min() || range->max > s->max()) {
      return refuse(where, ", slot ", i, ": values in [", range->min, ", ", range->max,
                    "] do not stay in the declared [", s->min(), ", ", s->max(), "]");
    }
    out.slots_.push_back({s->min(), s->max()});
  }
  for (uint32_t i = 0; i < count_of(entry.constraints()); ++i) {
    const fb::Constraint* c = entry.constraints()->Get(i);
    for (const auto* side : {c->left(), c->right()}) {
      const auto range = expression_range(operations(side), out.symbols_);
      if (!range.ok()) return refuse(where, ", constraint ", i, ": ", range.status().message());
    }
  }
  return out;
}

absl::StatusOr<ValueRange> PlanScalars::range(const fb::Scalar& s) const {
  if (s.slot() == -1) return ValueRange{s.value(), s.value()};
  if (s.slot() < 0 || static_cast<size_t>(s.slot()) >= slots_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("slot ", s.slot(), " of ", slots_.size()));
  }
  const ValueRange& range = slots_[static_cast<size_t>(s.slot())];
  if (s.value() != range.max) {
    return absl::InvalidArgumentError(absl::StrCat("value ", s.value(), " is not the maximum ",
                                                   range.max, " of its slot ", s.slot()));
  }
  return range;
}

absl::Status PlanScalars::check_tensor(const fb::TensorDesc& t, const std::string& at) const {
  const int bits = bits_of(t.dtype());
  if (bits < 0) return refuse(at, ": unknown dtype ", static_cast<int>(t.dtype()));
  std::vector<int64_t> shape;
  for (uint32_t d = 0; d < count_of(t.shape()); ++d) {
    const absl::StatusOr<ValueRange> extent = range(*t.shape()->Get(d));
    if (!extent.ok()) return refuse(at, ", dimension ", d, ": ", extent.status().message());
    if (extent->min < 0) return refuse(at, ", dimension ", d, ": may be ", extent->min);
    shape.push_back(extent->max);
  }
  uint64_t bytes = 0;
  if (!dense_bytes(shape, bits, &bytes) || t.bytes() < bytes || t.bytes() > kMaxPlanBytes) {
    return refuse(at, " '", text_of(t.name()), "': ", t.bytes(),
                  " bytes do not hold its largest extents");
  }
  if (t.symbols() == nullptr) return absl::OkStatus();
  if (t.symbols()->size() != shape.size()) {
    return refuse(at, ": ", t.symbols()->size(), " symbols for ", shape.size(), " dimensions");
  }
  for (uint32_t d = 0; d < t.symbols()->size(); ++d) {
    const int32_t symbol = t.symbols()->Get(d);
    if (symbol == -1) continue;
    if (symbol < 0 || static_cast<size_t>(symbol) >= symbols_.size()) {
      return refuse(at, ", dimension ", d, ": symbol ", symbol, " of ", symbols_.size());
    }
    if (shape[d] != symbols_[static_cast<size_t>(symbol)].max) {
      return refuse(at, ", dimension ", d, ": largest extent ", shape[d], ", but its symbol ",
                    symbol, " may be ", symbols_[static_cast<size_t>(symbol)].max);
    }
  }
  return absl::OkStatus();
}

absl::Status check_alignment(const fb::Plan& plan) {
  if (!all_of(plan.entries(), is_aligned_entry) ||
      !all_of(plan.variables(), [](const fb::Variable& v) { return is_aligned(v.shape()); })) {
    return refuse("its metadata is not aligned to 8 bytes");
  }
  return absl::OkStatus();
}

absl::Status check_tables(const fb::Plan& plan) {
  for (uint32_t i = 0; i < count_of(plan.kernels()); ++i) {
    if (text_of(plan.kernels()->Get(i)).empty()) return refuse("kernel ", i, " has no name");
  }
  uint64_t total = 0;
  std::set<absl::string_view> names;
  for (uint32_t i = 0; i < count_of(plan.variables()); ++i) {
    const fb::Variable* v = plan.variables()->Get(i);
    const std::string at = absl::StrCat("variable ", i, " '", text_of(v->name()), "'");
    if (!names.insert(text_of(v->name())).second) return refuse(at, ": the name is not unique");
    const int bits = bits_of(v->dtype());
    if (bits <= 0)
      return refuse(at, ": dtype ", static_cast<int>(v->dtype()), " can not be stored");
    if (v->kind() > fb::VariableKind::MAX) {
      return refuse(at, ": unknown kind ", static_cast<int>(v->kind()));
    }
    std::vector<int64_t> shape;
    if (v->shape() != nullptr) shape.assign(v->shape()->begin(), v->shape()->end());
    uint64_t bytes = 0;
    if (!dense_bytes(shape, bits, &bytes) || v->bytes() < bytes ||
        v->bytes() > kMaxPlanBytes - total) {
      return refuse(at, ": ", v->bytes(), " bytes do not hold its extents, or pass 2^62 in all");
    }
    total += v->bytes();
    if (v->segment() < -1) return refuse(at, ": segment ", v->segment());
    if (v->segment() >= 0 && (v->offset() % kPlanAlignment != 0 || v->offset() > kMaxPlanBytes)) {
      return refuse(at, ": offset ", v->offset(), " must be a multiple of 64 below 2^62");
    }
  }
  for (uint32_t i = 0; i < count_of(plan.constants()); ++i) {
    const fb::Constant* c = plan.constants()->Get(i);
    if (c->offset() % kPlanAlignment != 0 || c->offset() > kMaxPlanBytes ||
        c->bytes() > kMaxPlanBytes) {
      return refuse("constant ", i, " '", text_of(c->name()), "': offset ", c->offset(), ", ",
                    c->bytes(), " bytes: the offset must be a multiple of 64, both below 2^62");
    }
  }
  std::set<absl::string_view> entries;
  for (uint32_t i = 0; i < count_of(plan.entries()); ++i) {
    const absl::string_view name = text_of(plan.entries()->Get(i)->name());
    if (!entries.insert(name).second)
      return refuse("entry ", i, ": the name '", name, "' is not unique");
  }
  return absl::OkStatus();
}

}  // namespace modellib
