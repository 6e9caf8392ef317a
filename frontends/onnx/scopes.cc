#include "modellib/frontends/onnx/scopes.h"

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

bool Scope::define(const std::string& name, Value value) {
  return !absent_.contains(name) && values_.emplace(name, value).second;
}

bool Scope::is_absent(const std::string& name) const {
  if (values_.contains(name)) return false;
  return absent_.contains(name) || (parent_ != nullptr && parent_->is_absent(name));
}

const Value* Scope::find(const std::string& name, Contents& contents) {
  if (const auto it = values_.find(name); it != values_.end()) return &it->second;
  if (const auto it = from_around_.find(name); it != from_around_.end()) return &it->second;
  if (parent_ == nullptr) return nullptr;
  const Value* outer = parent_->find(name, contents);
  if (outer == nullptr || outer->is_null() || outer->builder() == &builder_) return outer;
  const Tensor* constant = constant_value(outer->builder()->so_far(), outer->id());
  Value inner;
  if (constant != nullptr) {
    inner = builder_.constant(*constant);
  } else {
    inner = builder_.captured(*outer);
    contents.alias(inner, *outer);
  }
  return &from_around_.emplace(name, inner).first->second;
}

}  // namespace modellib::onnx
