#include "modellib/frontends/nn/module.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace modellib::nn {
namespace {

std::string join(absl::string_view path, absl::string_view name) {
  if (name.empty()) return std::string(path);
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

}  // namespace

Module::Module(const Module& other)
    : name_(other.name_),
      training_(other.training_),
      children_(other.children_),
      slots_(other.slots_) {
  copy_elements();
}

// The registrations belong to the object, not to its value: an assigned member keeps the name under
// which its parent knows it.
Module& Module::operator=(const Module& other) {
  training_ = other.training_;
  children_ = other.children_;
  slots_ = other.slots_;
  copy_elements();
  return *this;
}

// Elements are reached by pointers, which a copy must not share.
void Module::copy_elements() {
  for (Child& child : children_) {
    if (child.module != nullptr) child.module = child.copy(*child.module);
  }
}

Value Module::forward(Value input) {
  if (input.is_null()) return input;
  return input.builder()->poison(absl::InvalidArgumentError(
      absl::StrCat("module '", name_, "' does not take one tensor and give one")));
}

const Module& Module::at(const Child& child) const {
  if (child.module != nullptr) return *child.module;
  return *reinterpret_cast<const Module*>(reinterpret_cast<const char*>(this) + child.offset);
}
Module& Module::at(const Child& child) {
  return const_cast<Module&>(static_cast<const Module*>(this)->at(child));
}
const Parameter& Module::at(const Slot& slot) const {
  return *reinterpret_cast<const Parameter*>(reinterpret_cast<const char*>(this) + slot.offset);
}
Parameter& Module::at(const Slot& slot) {
  return const_cast<Parameter&>(static_cast<const Module*>(this)->at(slot));
}

void Module::register_module(absl::string_view name, Module& member) {
  member.name_ = std::string(name);
  children_.push_back(
      {std::string(name), reinterpret_cast<char*>(&member) - reinterpret_cast<char*>(this)});
}
void Module::register_element(absl::string_view name, std::shared_ptr<Module> module, Copy copy) {
  module->name_ = std::string(name);
  children_.push_back({std::string(name), 0, std::move(module), copy});
}
void Module::register_parameter(absl::string_view name, Parameter& member) {
  slots_.push_back(
      {std::string(name), reinterpret_cast<char*>(&member) - reinterpret_cast<char*>(this), false});
}
void Module::register_buffer(absl::string_view name, Parameter& member) {
  slots_.push_back(
      {std::string(name), reinterpret_cast<char*>(&member) - reinterpret_cast<char*>(this), true});
}

void Module::visit(const std::string& path,
                   const std::function<void(const std::string&, const Module&)>& f) const {
  f(path, *this);
  for (const Child& child : children_) at(child).visit(join(path, child.name), f);
}

std::vector<std::pair<std::string, Parameter>> Module::collect(bool buffers) const {
  std::vector<std::pair<std::string, Parameter>> found;
  visit("", [&](const std::string& path, const Module& module) {
    for (const Slot& slot : module.slots_) {
      const Parameter& p = module.at(slot);
      if (slot.is_buffer != buffers || p.is_absent()) continue;
      const bool tied = std::any_of(found.begin(), found.end(),
                                    [&](const auto& other) { return other.second.same_as(p); });
      if (!tied) found.emplace_back(join(path, slot.name), p);
    }
  });
  return found;
}

std::vector<std::pair<std::string, Parameter>> Module::named_parameters() const {
  return collect(false);
}
std::vector<std::pair<std::string, Parameter>> Module::named_buffers() const {
  return collect(true);
}

std::vector<std::pair<std::string, Parameter>> Module::named_state() const {
  std::vector<std::pair<std::string, Parameter>> found;
  visit("", [&](const std::string& path, const Module& module) {
    for (const Slot& slot : module.slots_) {
      const Parameter& p = module.at(slot);
      if (!p.is_absent()) found.emplace_back(join(path, slot.name), p);
    }
  });
  return found;
}

std::vector<Parameter> Module::parameters() const {
  std::vector<Parameter> all;
  for (auto& [name, p] : named_parameters()) all.push_back(p);
  return all;
}

std::vector<std::pair<std::string, const Module*>> Module::named_modules() const {
  std::vector<std::pair<std::string, const Module*>> found;
  visit("", [&](const std::string& path, const Module& m) { found.emplace_back(path, &m); });
  return found;
}

std::vector<Module*> Module::modules() {
  std::vector<Module*> found = {this};
  for (const Child& child : children_) {
    const std::vector<Module*> below = at(child).modules();
    found.insert(found.end(), below.begin(), below.end());
  }
  return found;
}

Module& Module::train(bool mode) {
  training_ = mode;
  for (const Child& child : children_) at(child).train(mode);
  return *this;
}

void Module::requires_grad(bool on) {
  for (auto& [name, p] : named_parameters()) p.set_requires_grad(on);
}

void Module::name_parameters(absl::string_view prefix) {
  std::vector<std::pair<std::string, Parameter>> all = collect(false);
  for (auto& buffer : collect(true)) all.push_back(std::move(buffer));
  for (auto& [path, p] : all) {
    p.state_->name = join(prefix, path);
    p.state_->shares_name = false;
  }
  // One variable for two parameters would tie them without a word.
  std::map<std::string, Parameter> holders;
  for (auto& [path, p] : all) {
    const auto [holder, is_new] = holders.try_emplace(path, p);
    if (is_new || holder->second.same_as(p)) continue;
    p.state_->shares_name = holder->second.state_->shares_name = true;
  }
}

void Module::visit_slots(const std::function<void(Parameter&)>& f) {
  for (const Slot& slot : slots_) {
    if (!at(slot).is_absent()) f(at(slot));
  }
  for (const Child& child : children_) at(child).visit_slots(f);
}

void Module::to(DType dtype) {
  visit_slots([dtype](Parameter& p) {
    if (is_floating(p.dtype())) p.state_->dtype = dtype;
  });
}

void Module::clone_parameters() {
  // The shared ones are kept meanwhile, so that an address means one of them alone.
  std::map<std::shared_ptr<Parameter::State>, Parameter> clones;
  visit_slots([&clones](Parameter& p) {
    const auto [clone, is_new] = clones.try_emplace(p.state_);
    if (is_new) clone->second = p.clone();
    p = clone->second;
  });
}

}  // namespace modellib::nn
