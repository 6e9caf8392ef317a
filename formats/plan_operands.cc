#include "modellib/formats/plan_operands.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"

namespace modellib {
namespace {

using Group = std::vector<const PlanOperand*>;  // in one memory, with the same strides

OperandClash clash_within(Group* group) {
  std::sort(group->begin(), group->end(), [](const PlanOperand* a, const PlanOperand* b) {
    return a->first.begin != b->first.begin ? a->first.begin < b->first.begin
                                            : a->role > b->role;  // outputs first
  });
  const PlanOperand* write = nullptr;  // that reaches furthest so far, and input likewise
  const PlanOperand* read = nullptr;
  for (const PlanOperand* o : *group) {
    if (write != nullptr && write->first.overlaps(o->first)) {
      const bool in_place = !o->writes() && write->role == OperandRole::kOutput &&
                            write->first.begin == o->first.begin;
      if (!in_place) return {write, o};
    }
    if (o->writes() && read != nullptr && read->first.overlaps(o->first)) return {o, read};
    const PlanOperand*& furthest = o->writes() ? write : read;
    if (furthest == nullptr || o->first.end > furthest->first.end) furthest = o;
  }
  return {};
}

OperandClash clash_between(const Group& a, const Group& b, int64_t* work) {
  for (const PlanOperand* x : a) {
    for (const PlanOperand* y : b) {
      if (--*work < 0) return {};
      if ((x->writes() || y->writes()) && x->reach().overlaps(y->reach())) return {x, y};
    }
  }
  return {};
}

}  // namespace

ByteRange PlanOperand::reach(bool inner_first, bool outer_first) const {
  ByteRange r = first;
  const auto extend = [&r](int64_t stride, uint64_t trips) {
    const int64_t way = stride * static_cast<int64_t>(trips - 1);
    if (way < 0) {
      r.begin -= static_cast<uint64_t>(-way);
    } else {
      r.end += static_cast<uint64_t>(way);
    }
  };
  if (!inner_first) extend(stride, trips);
  if (!outer_first) extend(outer_stride, outer_trips);
  return r;
}

std::string PlanOperand::name() const {
  if (role == OperandRole::kWorkspace) return "workspace";
  return absl::StrCat(role == OperandRole::kInput ? "input " : "output ", ordinal);
}

OperandClash find_clash(absl::Span<const PlanOperand> operands, int64_t* work) {
  using Key = std::tuple<int32_t, int64_t, int64_t>;  // memory, strides
  std::map<Key, Group> groups;
  for (const PlanOperand& o : operands) {
    if (o.memory >= 0) groups[{o.memory, o.stride, o.outer_stride}].push_back(&o);
  }
  for (auto a = groups.begin(); a != groups.end(); ++a) {
    OperandClash clash = clash_within(&a->second);
    if (clash.a != nullptr) return clash;
    for (auto b = std::next(a); b != groups.end(); ++b) {
      if (std::get<0>(b->first) != std::get<0>(a->first)) break;
      clash = clash_between(a->second, b->second, work);
      if (clash.a != nullptr || *work < 0) return clash;
    }
  }
  return {};
}

}  // namespace modellib
