#include "modellib/passes/sequence_lowering.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/control_lowering.h"
#include "modellib/passes/rebuild.h"
#include "modellib/passes/views.h"

namespace modellib {

absl::Status SequenceLowering::lower_nodes() {
  const std::vector<bool> live = live_nodes(graph_);
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    const Graph::Node& node = graph_.nodes()[n];
    // A constant is placed when a step reads it.
    if (!live[n] || constant_value(graph_, node.output(0)) != nullptr) continue;
    MODELLIB_ASSIGN_OR_RETURN(bool done, make_view(node));
    if (done) continue;
    MODELLIB_ASSIGN_OR_RETURN(done, make_parts(node));
    if (done) continue;
    MODELLIB_ASSIGN_OR_RETURN(done, lower_control(*this, node));
    if (!done) MODELLIB_RETURN_IF_ERROR(lower_by_recipe(node, n));
  }
  return absl::OkStatus();
}

std::string SequenceLowering::describe(const Graph::Node& node) const {
  const std::string& scope = graph_.scopes()[static_cast<size_t>(node.scope)];
  return scope.empty() ? node.op->name : absl::StrCat(scope, ".", node.op->name);
}

Place SequenceLowering::place_of(ValueId value) {
  Place& place = at(value);
  if (place.buffer == kNoBuffer) {
    if (const Tensor* tensor = constant_value(graph_, value)) {
      place.buffer = context_.constant_buffer(*tensor, graph_.value(value).name);
    }
  }
  return place;
}

int SequenceLowering::add_buffer(int64_t bytes, std::string name) {
  return context_.buffers.add({.bytes = bytes, .name = std::move(name), .home = sequence_.id});
}

absl::StatusOr<int> SequenceLowering::add_output_buffer(const Graph::Node& node, int output) {
  const ValueId value = node.output(output);
  MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(graph_.type(value)));
  const std::string& given = graph_.value(value).name;
  const int buffer = add_buffer(bytes, given.empty() ? describe(node) : given);
  at(value).buffer = buffer;
  return buffer;
}

void SequenceLowering::add_step(LoweredStep added) {
  const int id = static_cast<int>(sequence_.steps.size());
  for_each_operand(added, [&](const Place& place, int64_t, bool writes) {
    const int root = context_.buffers.resolve(place).buffer;
    if (context_.buffers[root].home > sequence_.id) return;  // of a body
    std::vector<int>& users = users_[root];
    if (users.empty() || users.back() != id) users.push_back(id);
    if (!writes) return;
    first_writer_.try_emplace(place.buffer, id);
    first_writer_.try_emplace(root, id);
  });
  sequence_.steps.push_back(std::move(added));
}

LoweredStep SequenceLowering::copy_step(const Place& from, const Place& to, const Dim& bytes,
                                        int64_t max_bytes, std::string name) const {
  LoweredStep s;
  s.recipe = context_.backend.copy(bytes);
  s.inputs = {from};
  s.outputs = {to};
  s.input_bytes = s.output_bytes = {max_bytes};
  s.name = std::move(name);
  return s;
}

void SequenceLowering::add_copy(const Place& from, const Place& to, const Dim& bytes,
                                int64_t max_bytes, std::string name) {
  add_step(copy_step(from, to, bytes, max_bytes, std::move(name)));
}

absl::StatusOr<bool> SequenceLowering::make_view(const Graph::Node& node) {
  const absl::optional<View> view = view_of(graph_, node);
  if (!view.has_value()) return false;
  const ValueId source = node.inputs[static_cast<size_t>(view->input)];
  Place place = place_of(source);
  place.offset += view->byte_offset;
  MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(graph_.type(node.output(0))));
  const Place resolved = context_.buffers.resolve(place);
  if (!is_addressable(resolved, bytes)) return false;
  parts_[resolved.buffer].push_back({place, bytes});
  // Any other view has all bytes: where its extents don't show it, a constraint holds them equal.
  const bool cuts = node.op->name == "slice" &&
                    !are_equal_within(byte_size(graph_.type(node.output(0))),
                                      byte_size(graph_.type(source)), context_.ranges);
  is_cut_[static_cast<size_t>(node.output(0))] = cuts || is_cut_[static_cast<size_t>(source)];
  at(node.output(0)) = std::move(place);
  return true;
}

// Operands that lie side by side in the result are computed there; those that cannot be are copied.
absl::StatusOr<bool> SequenceLowering::make_parts(const Graph::Node& node) {
  const absl::optional<std::vector<int64_t>> offsets = parts_of(graph_, node);
  if (!offsets.has_value()) return false;
  std::vector<int64_t> bytes;
  for (size_t i = 0; i < offsets->size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(bytes.emplace_back(),
                              context_.max_bytes(graph_.type(node.inputs[i])));
    if (!is_addressable({0, (*offsets)[i], {}}, bytes[i])) return false;
  }
  MODELLIB_ASSIGN_OR_RETURN(const int whole, add_output_buffer(node, 0));
  for (size_t i = 0; i < offsets->size(); ++i) {
    const Place from = place_of(node.inputs[i]);
    const Place to = {whole, (*offsets)[i], {}};
    if (can_move(node.inputs[i], from, bytes[i], to)) {
      put_inside(from.buffer, to);
    } else {
      add_copy(from, to, byte_size(graph_.type(node.inputs[i])), bytes[i],
               absl::StrCat(describe(node), " part ", i));
    }
  }
  return true;
}

absl::Status SequenceLowering::lower_by_recipe(const Graph::Node& node, size_t number) {
  const auto refusal = [&](const absl::Status& status) {
    return absl::StrCat("node ", number, " (", describe(node), "): ", status.message());
  };
  // Ahead of the recipe, whose arithmetic relies on it.
  for (int i = 0; i < node.num_outputs; ++i) {
    const absl::Status sized = context_.max_bytes(graph_.type(node.output(i))).status();
    if (!sized.ok()) return absl::Status(sized.code(), refusal(sized));
  }
  absl::StatusOr<NodeRecipe> recipe =
      context_.backend.recipe(RecipeSite{graph_, node, context_.ranges});
  if (recipe.ok()) return add_node(node, *std::move(recipe));
  if (recipe.status().code() != absl::StatusCode::kUnimplemented)
    return absl::Status(recipe.status().code(), refusal(recipe.status()));
  context_.unsupported.push_back(refusal(recipe.status()));
  return absl::OkStatus();
}

absl::Status SequenceLowering::add_node(const Graph::Node& node, NodeRecipe recipe) {
  const std::string name = describe(node);
  for (int i = 0; i < node.num_outputs; ++i) {
    MODELLIB_RETURN_IF_ERROR(add_output_buffer(node, i).status());
  }
  std::vector<int> temporaries, constants;
  for (size_t i = 0; i < recipe.temporaries.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(recipe.temporaries[i]));
    temporaries.push_back(add_buffer(bytes, absl::StrCat(name, " temporary ", i)));
  }
  for (const PackedConstant& packed : recipe.constants) {
    const ValueId source = node.inputs[static_cast<size_t>(packed.input)];
    const Tensor* tensor = constant_value(graph_, source);
    if (tensor == nullptr) {
      return absl::InternalError(absl::StrCat(name, ": operand ", packed.input, " is no constant"));
    }
    MODELLIB_ASSIGN_OR_RETURN(const int buffer,
                              context_.packed_buffer(*tensor, packed, graph_.value(source).name));
    constants.push_back(buffer);
  }
  const auto resolve = [&](const StepOperand& operand, int64_t& bytes) -> absl::StatusOr<Place> {
    const auto index = static_cast<size_t>(operand.index);
    ValueId value = kNoValue;
    bytes = 0;
    switch (operand.kind) {
      case StepOperand::Kind::kNone:
        return Place{};
      case StepOperand::Kind::kTemporary:
        bytes = context_.buffers[temporaries[index]].bytes;
        return Place{temporaries[index], 0, {}};
      case StepOperand::Kind::kConstant:
        bytes = context_.buffers[constants[index]].bytes;
        return Place{constants[index], 0, {}};
      case StepOperand::Kind::kOutput:
        value = node.output(operand.index);
        break;
      case StepOperand::Kind::kInput:
        value = node.inputs[index];
        break;
    }
    if (value == kNoValue) return Place{};
    MODELLIB_ASSIGN_OR_RETURN(bytes, context_.max_bytes(graph_.type(value)));
    return place_of(value);
  };
  // The last step that writes an output completes it.
  std::vector<const StepRecipe*> completes(static_cast<size_t>(node.num_outputs));
  for (const StepRecipe& r : recipe.steps) {
    for (const StepOperand& o : r.outputs) {
      if (o.kind == StepOperand::Kind::kOutput) completes[static_cast<size_t>(o.index)] = &r;
    }
  }
  for (StepRecipe& r : recipe.steps) {
    LoweredStep s;
    s.name = name;
    for (const StepOperand& o : r.outputs) {
      LoweredStep::NamedValue& value = s.values.emplace_back();
      if (o.kind != StepOperand::Kind::kOutput || completes[static_cast<size_t>(o.index)] != &r) {
        continue;
      }
      const Graph::ValueInfo& info = graph_.value(node.output(o.index));
      value = {info.name, info.type};
    }
    s.output_bytes.resize(r.outputs.size());
    s.input_bytes.resize(r.inputs.size());
    for (size_t i = 0; i < r.outputs.size(); ++i) {
      MODELLIB_ASSIGN_OR_RETURN(s.outputs.emplace_back(), resolve(r.outputs[i], s.output_bytes[i]));
    }
    for (size_t i = 0; i < r.inputs.size(); ++i) {
      MODELLIB_ASSIGN_OR_RETURN(s.inputs.emplace_back(), resolve(r.inputs[i], s.input_bytes[i]));
    }
    MODELLIB_ASSIGN_OR_RETURN(s.workspace, context_.max_bytes(r.workspace_bytes));
    s.recipe = std::move(r);
    add_step(std::move(s));
  }
  return absl::OkStatus();
}

bool SequenceLowering::fits(int buffer, const Place& where) {
  const Place target = context_.buffers.resolve(where);
  if (!is_addressable(target, context_.buffers[buffer].bytes)) return false;
  bool ok = true;
  const auto check = [&](const Place& place, int64_t bytes) {
    Place resolved = context_.buffers.resolve(place);
    if (resolved.buffer != buffer) return;
    resolved.offset += target.offset;
    resolved.strides.insert(resolved.strides.end(), target.strides.begin(), target.strides.end());
    ok = ok && is_addressable(resolved, bytes);
  };
  for (int user : users_[buffer]) {
    for_each_operand(step(user),
                     [&](const Place& place, int64_t bytes, bool) { check(place, bytes); });
  }
  for (const Part& part : parts_[buffer]) check(part.place, part.bytes);
  return ok;
}

bool SequenceLowering::can_move(ValueId value, const Place& from, int64_t bytes, const Place& to) {
  if (from.buffer == kNoBuffer || from.offset != 0 || !from.strides.empty()) return false;
  // Whoever writes the buffer writes all that it was made for.
  if (is_cut_[static_cast<size_t>(value)]) return false;
  const StepBuffer& b = context_.buffers[from.buffer];
  return b.space == fb::Space::Arena && b.home == sequence_.id && b.inside.buffer == kNoBuffer &&
         b.bytes == bytes && first_writer_.contains(from.buffer) && fits(from.buffer, to);
}

void SequenceLowering::put_inside(int buffer, const Place& where) {
  context_.buffers[buffer].inside = where;
  const int written = first_writer_.at(buffer);  // by value: the insertion may move the table
  int& writer = first_writer_.try_emplace(where.buffer, written).first->second;
  writer = std::min(writer, first_writer_.at(buffer));
  const int root = context_.buffers.resolve(where).buffer;
  const std::vector<int> moved = std::move(users_[buffer]);
  users_.erase(buffer);
  std::vector<int>& users = users_[root];
  std::vector<int> all;
  std::set_union(users.begin(), users.end(), moved.begin(), moved.end(), std::back_inserter(all));
  users = std::move(all);
  std::vector<Part> inner = std::move(parts_[buffer]);
  parts_.erase(buffer);
  inner.push_back({{buffer, 0, {}}, context_.buffers[buffer].bytes});
  std::vector<Part>& around = parts_[root];
  around.insert(around.end(), std::make_move_iterator(inner.begin()),
                std::make_move_iterator(inner.end()));
}

// Whether nobody wants the content any more when the first step writes the buffer, which would lie
// in its place; that step itself may read it only where it may overwrite it in place.
bool SequenceLowering::can_overwrite(const Place& content, int buffer) {
  const auto readers = users_.find(content.buffer);
  if (readers == users_.end()) return true;
  const int writer = first_writer_.at(buffer);
  if (readers->second.back() > writer) return false;
  if (readers->second.back() < writer) return true;
  const LoweredStep& s = step(writer);
  if (!s.bodies.empty()) return false;
  const auto& allowed = s.recipe.in_place;
  for (size_t i = 0; i < s.inputs.size(); ++i) {
    if (context_.buffers.resolve(s.inputs[i]).buffer != content.buffer) continue;
    for (size_t o = 0; o < s.outputs.size(); ++o) {
      const Place output = context_.buffers.resolve(s.outputs[o]);
      if (output.buffer != buffer) continue;
      const std::pair<int, int> pair(static_cast<int>(o), static_cast<int>(i));
      if (output.offset != 0 || !(s.inputs[i] == content) ||
          std::find(allowed.begin(), allowed.end(), pair) == allowed.end()) {
        return false;
      }
    }
  }
  return true;
}

absl::Status SequenceLowering::reach(const std::vector<Target>& targets) {
  std::set<int> contents;  // buffers
  for (const Target& t : targets) {
    if (t.holds_content) contents.insert(t.to.buffer);
  }
  struct Wish {
    Target target;
    Place from;
    Dim bytes;
    int64_t max_bytes;
  };
  std::vector<Wish> wishes;
  for (const Target& t : targets) {
    const TensorType& type = graph_.type(t.value);
    Wish w{t, place_of(t.value), byte_size(type), 0};
    MODELLIB_ASSIGN_OR_RETURN(w.max_bytes, context_.max_bytes(type));
    // What is there at entry and may be overwritten is saved at the beginning.
    if (contents.count(w.from.buffer) > 0) {
      if (w.from == w.target.to) continue;
      Place saved = w.target.to;
      if (w.target.holds_content) {
        saved = {add_buffer(w.max_bytes, context_.buffers[w.from.buffer].name + " saved"), 0, {}};
      }
      prologue_.push_back(copy_step(w.from, saved, w.bytes, w.max_bytes, w.target.name));
      if (!w.target.holds_content) continue;
      w.from = saved;
    }
    wishes.push_back(std::move(w));
  }
  // A value is computed where it must lie, if nobody wants what is there; else it is copied there
  // at the end.
  std::vector<const Wish*> copies;
  for (const bool holds_content : {true, false}) {
    for (const Wish& w : wishes) {
      if (w.target.holds_content != holds_content) continue;
      const bool moves = !w.target.by_copy &&
                         can_move(w.target.value, w.from, w.max_bytes, w.target.to) &&
                         (!holds_content || can_overwrite(w.target.to, w.from.buffer));
      if (moves) {
        put_inside(w.from.buffer, w.target.to);
      } else {
        copies.push_back(&w);
      }
    }
  }
  for (const Wish* w : copies) {
    add_copy(w->from, w->target.to, w->bytes, w->max_bytes, w->target.name);
  }
  return absl::OkStatus();
}

StepSequence SequenceLowering::take() {
  sequence_.steps.insert(sequence_.steps.begin(), std::make_move_iterator(prologue_.begin()),
                         std::make_move_iterator(prologue_.end()));
  return std::move(sequence_);
}

}  // namespace modellib
