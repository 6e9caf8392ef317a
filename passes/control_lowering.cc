#include "modellib/passes/control_lowering.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/control.h"
#include "modellib/passes/sequence_lowering.h"
#include "modellib/passes/views.h"

namespace modellib {
namespace {

constexpr int64_t kMaxTrips = int64_t{1} << 31;  // that a plan can say
// Loops around a step whose strides a plan can name (formats/plan.fbs, BufferRef).
constexpr int kStridedLoops = 2;

// How deep the loops of a body nest.
int loops_in(const Graph& body) {
  int deepest = 0;
  for (const Graph::Node& node : body.nodes()) {
    const Attributes& a = node.attributes;
    if (a.is<ScanAttributes>()) {
      deepest = std::max(deepest, 1 + loops_in(*a.as<ScanAttributes>().body));
    } else if (a.is<WhileAttributes>()) {
      const auto& loop = a.as<WhileAttributes>();
      deepest = std::max({deepest, 1 + loops_in(*loop.condition), 1 + loops_in(*loop.body)});
    } else if (a.is<CondAttributes>()) {
      const auto& cond = a.as<CondAttributes>();
      deepest = std::max({deepest, loops_in(*cond.then_branch), loops_in(*cond.else_branch)});
    }
  }
  return deepest;
}

bool reads(const Graph& graph, ValueId value) {
  for (const Graph::Node& node : graph.nodes()) {
    if (std::find(node.inputs.begin(), node.inputs.end(), value) != node.inputs.end()) return true;
  }
  return std::any_of(graph.outputs().begin(), graph.outputs().end(),
                     [value](const Graph::Output& o) { return o.value == value; });
}

LoweredStep control_step(const char* kernel, std::string name) {
  LoweredStep step;
  step.recipe.kernel = kernel;
  step.name = std::move(name);
  return step;
}

class ControlLowering {
 public:
  ControlLowering(SequenceLowering& outer, const Graph::Node& node)
      : outer_(outer), context_(outer.context()), node_(node), name_(outer.describe(node)) {}

  absl::Status cond(const CondAttributes& a) {
    LoweredStep step = control_step("control.cond", name_);
    step.inputs = {outer_.place_of(node_.inputs[0])};
    step.input_bytes = {1};
    std::vector<Place> results;
    for (int i = 0; i < node_.num_outputs; ++i) {
      MODELLIB_ASSIGN_OR_RETURN(const int buffer, outer_.add_output_buffer(node_, i));
      results.push_back({buffer, 0, {}});
    }
    size_t operand = 1;
    for (const GraphRef& branch : {a.then_branch, a.else_branch}) {
      SequenceLowering body(context_, *branch, outer_.loop_depth());
      for (ValueId input : branch->inputs()) body.set_place(input, operand_place(operand++));
      MODELLIB_RETURN_IF_ERROR(body.lower_nodes());
      std::vector<Target> targets;
      for (size_t i = 0; i < results.size(); ++i) {
        targets.push_back({.to = results[i], .value = branch->outputs()[i].value, .name = name_});
      }
      MODELLIB_RETURN_IF_ERROR(body.reach(targets));
      step.bodies.push_back(body.take());
    }
    outer_.add_step(std::move(step));
    return absl::OkStatus();
  }

  absl::Status scan(const ScanAttributes& a) {
    MODELLIB_RETURN_IF_ERROR(carry(static_cast<size_t>(a.carries)));
    const auto carries = static_cast<size_t>(a.carries), xs = static_cast<size_t>(a.xs);
    const Graph& graph = *a.body;
    const bool by_copy = loops_in(graph) >= kStridedLoops;
    LoweredStep step = control_step("control.scan", name_);
    step.recipe.scalars = {a.trips[0]};
    MODELLIB_RETURN_IF_ERROR(context_.slots.scalar(a.trips[0]).status());  // there is a maximum

    SequenceLowering body(context_, graph, outer_.loop_depth() + 1);
    if (reads(graph, graph.inputs()[0])) {
      if (a.reverse) return absl::InternalError("a reverse scan reads its index");
      const Place index = {
          outer_.add_buffer(sizeof(int64_t), absl::StrCat(name_, " index")), 0, {}};
      step.outputs = {index};
      step.output_bytes = {sizeof(int64_t)};
      body.set_place(graph.inputs()[0], index);
    }
    for (size_t i = 0; i + 1 < graph.inputs().size(); ++i) {
      const ValueId input = graph.inputs()[i + 1];
      const bool is_slice = i >= carries && i < carries + xs;
      if (i < carries) {
        body.set_place(input, carried_[i]);
      } else if (!is_slice) {
        body.set_place(input, operand_place(i));
      } else {
        MODELLIB_ASSIGN_OR_RETURN(const Place slice,
                                  slice_of(operand_place(i), graph.type(input), a));
        MODELLIB_ASSIGN_OR_RETURN(const int64_t bytes, context_.max_bytes(graph.type(input)));
        Place inside = slice;
        if (by_copy) {
          inside = {body.add_buffer(bytes, absl::StrCat(name_, " slice ", i - carries)), 0, {}};
          body.add_copy(slice, inside, bytes, bytes, absl::StrCat(name_, " slice ", i - carries));
        }
        body.set_place(input, std::move(inside));
      }
    }
    MODELLIB_RETURN_IF_ERROR(body.lower_nodes());

    std::vector<Target> targets;
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      const ValueId value = graph.outputs()[i].value;
      if (i < carries) {
        targets.push_back(
            {.to = carried_[i], .value = value, .holds_content = true, .name = name_});
        continue;
      }
      MODELLIB_ASSIGN_OR_RETURN(const int buffer,
                                outer_.add_output_buffer(node_, static_cast<int>(i)));
      MODELLIB_ASSIGN_OR_RETURN(Place slice, slice_of(Place{buffer, 0, {}}, graph.type(value), a));
      targets.push_back(
          {.to = std::move(slice), .value = value, .by_copy = by_copy, .name = name_});
    }
    MODELLIB_RETURN_IF_ERROR(body.reach(targets));
    step.bodies.push_back(body.take());
    outer_.add_step(std::move(step));
    return absl::OkStatus();
  }

  absl::Status loop(const WhileAttributes& a) {
    const auto carries = static_cast<size_t>(a.carries);
    MODELLIB_RETURN_IF_ERROR(carry(carries));
    LoweredStep step = control_step("control.while", name_);
    step.recipe.scalars = {a.max_trips.empty() ? Dim(kMaxTrips) : a.max_trips[0]};
    const Place holds = {outer_.add_buffer(1, absl::StrCat(name_, " condition")), 0, {}};
    step.inputs = {holds};
    step.input_bytes = {1};
    size_t operand = carries;
    for (const bool tests : {true, false}) {  // condition and body may be one graph
      const GraphRef& graph = tests ? a.condition : a.body;
      SequenceLowering body(context_, *graph, outer_.loop_depth() + 1);
      for (size_t i = 0; i < graph->inputs().size(); ++i) {
        body.set_place(graph->inputs()[i], i < carries ? carried_[i] : operand_place(operand++));
      }
      MODELLIB_RETURN_IF_ERROR(body.lower_nodes());
      std::vector<Target> targets;
      if (tests) {
        targets.push_back({.to = holds, .value = graph->outputs()[0].value, .name = name_});
      } else {
        for (size_t i = 0; i < carries; ++i) {
          targets.push_back({.to = carried_[i],
                             .value = graph->outputs()[i].value,
                             .holds_content = true,
                             .name = name_});
        }
      }
      MODELLIB_RETURN_IF_ERROR(body.reach(targets));
      step.bodies.push_back(body.take());
    }
    outer_.add_step(std::move(step));
    return absl::OkStatus();
  }

 private:
  Place operand_place(size_t i) { return outer_.place_of(node_.inputs[i]); }

  // Puts the first values of the carries where they are carried.
  absl::Status carry(size_t carries) {
    for (size_t i = 0; i < carries; ++i) {
      MODELLIB_ASSIGN_OR_RETURN(const int buffer,
                                outer_.add_output_buffer(node_, static_cast<int>(i)));
      carried_.push_back({buffer, 0, {}});
      const TensorType& type = outer_.graph().type(node_.inputs[i]);
      outer_.add_copy(operand_place(i), carried_[i], byte_size(type),
                      context_.buffers[buffer].bytes, absl::StrCat(name_, " carry ", i));
    }
    return absl::OkStatus();
  }

  // The slice of `stacked` in the first trip, and how it moves.
  absl::StatusOr<Place> slice_of(Place stacked, const TensorType& slice, const ScanAttributes& a) {
    if (bits_of(slice.dtype) % 8 != 0) {
      context_.unsupported.push_back(
          absl::StrCat(name_, ": slices of packed elements begin inside a byte"));
      return stacked;
    }
    const Dim bytes = byte_size(slice);
    if (!bytes.is_static() || (a.reverse && !a.trips[0].is_static())) {
      return absl::InternalError(
          absl::StrCat(name_, ": its slices move by no fixed number of bytes"));
    }
    stacked.strides.resize(static_cast<size_t>(outer_.loop_depth()) + 1);
    stacked.strides.back() = a.reverse ? -bytes.value() : bytes.value();
    // Without trips there is no last slice; nothing reads the place then.
    if (a.reverse) stacked.offset += bytes.value() * std::max<int64_t>(a.trips[0].value() - 1, 0);
    return stacked;
  }

  SequenceLowering& outer_;
  LoweringContext& context_;
  const Graph::Node& node_;
  const std::string name_;
  std::vector<Place> carried_;
};

}  // namespace

absl::StatusOr<bool> lower_control(SequenceLowering& sequence, const Graph::Node& node) {
  const Attributes& a = node.attributes;
  absl::Status status;
  if (a.is<CondAttributes>()) {
    status = ControlLowering(sequence, node).cond(a.as<CondAttributes>());
  } else if (a.is<ScanAttributes>()) {
    status = ControlLowering(sequence, node).scan(a.as<ScanAttributes>());
  } else if (a.is<WhileAttributes>()) {
    status = ControlLowering(sequence, node).loop(a.as<WhileAttributes>());
  } else {
    return false;
  }
  if (!status.ok()) return status;
  return true;
}

}  // namespace modellib
