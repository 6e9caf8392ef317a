#include "modellib/frontends/onnx/scopes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"

namespace modellib::onnx {

std::string Scope::place_of(absl::string_view part) const {
  // Each node of the graph has one: nested parts with long names must not come to gigabytes.
  constexpr size_t kLongest = 240;
  if (place_.empty()) return std::string(part);
  if (place_.size() <= kLongest) return absl::StrCat(place_, " / ", part);
  return absl::StrCat(place_.substr(0, kLongest), "... / ", part);
}

bool Scope::define(const std::string& name, Item item) {
  return items_.emplace(name, std::move(item)).second;
}

Value Scope::inside(const Value& outer, Contents& contents) {
  const Tensor* constant = constant_value(outer.builder()->so_far(), outer.id());
  if (constant != nullptr) return builder_.constant(*constant);
  const Value inner = builder_.captured(outer);
  contents.alias(inner, outer);
  return inner;
}

const Item* Scope::find(const std::string& name, Contents& contents) {
  if (const auto it = items_.find(name); it != items_.end()) return &it->second;
  if (const auto it = from_around_.find(name); it != from_around_.end()) return &it->second;
  if (parent_ == nullptr) return nullptr;
  const Item* outer = parent_->find(name, contents);
  if (outer == nullptr || outer->tensors().empty()) return outer;
  // All that a scope gives is of its own builder.
  if (outer->tensors().front().builder() == &builder_) return outer;
  Item inner;
  if (const Sequence* sequence = outer->sequence(); sequence != nullptr) {
    Sequence copy{sequence->dtype, {}};
    for (const Value& v : sequence->tensors) copy.tensors.push_back(inside(v, contents));
    inner = Item(std::move(copy));
  } else {
    inner = inside(outer->tensor(), contents);
  }
  return &from_around_.emplace(name, std::move(inner)).first->second;
}

}  // namespace modellib::onnx
