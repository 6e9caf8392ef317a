#include "modellib/graph/testing_ops.h"

#include <utility>

#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"

namespace modellib::testing {
namespace {

absl::Status like_first(InferenceContext& c) {
  c.outputs = {c.input(0)};
  return absl::OkStatus();
}

absl::Status same_shapes(InferenceContext& c) {
  const TensorType &a = c.input(0), &b = c.input(1);
  if (a.rank() != b.rank() || a.dtype != b.dtype) {
    return absl::InvalidArgumentError("operands of different types");
  }
  for (size_t i = 0; i < a.shape.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(c.require_equal(a.shape[i], b.shape[i], "add's operands"));
  }
  return like_first(c);
}

absl::Status parts_of(InferenceContext& c) {
  const int64_t parts = c.attributes.as<SplitAttributes>().parts;
  if (parts < 1 || parts > 8 || c.input(0).rank() == 0) {
    return absl::InvalidArgumentError("cannot split so");
  }
  TensorType part = c.input(0);
  part.shape[0] = part.shape[0] / parts;
  c.outputs.assign(static_cast<size_t>(parts), part);
  return absl::OkStatus();
}

absl::Status constant_type(InferenceContext& c) {
  const Tensor& t = c.attributes.as<ConstantAttributes>().value;
  if (t.dtype() == DType::kInvalid) return absl::InvalidArgumentError("a constant of no type");
  c.outputs = {{t.dtype(), Shape(t.shape().begin(), t.shape().end())}};
  return absl::OkStatus();
}

OpRegistry* make_ops() {
  auto* registry = new OpRegistry;
  const auto add = [&](std::string name, int min_inputs, int max_inputs,
                       absl::Status (*infer)(InferenceContext&), AttributesSchema attributes = {}) {
    OpDef op;
    op.name = std::move(name);
    op.min_inputs = min_inputs;
    op.max_inputs = max_inputs;
    op.infer = infer;
    op.attributes = attributes;
    op.differentiable = OpDef::Gradient::kNone;
    op.reference = [](ReferenceContext&) { return absl::UnimplementedError("only for tests"); };
    registry->add(std::move(op)).IgnoreError();
  };
  add("constant", 0, 0, constant_type, AttributesSchema::of<ConstantAttributes>());
  add("relu", 1, 1, like_first);
  add("add", 2, 2, same_shapes);
  add("select", 1, 3, like_first);
  add("split", 1, 1, parts_of, AttributesSchema::of<SplitAttributes>());
  add(
      "everything", 0, OpDef::kVariadic,
      [](InferenceContext& c) {
        if (!c.inputs.empty() && c.has(0)) return like_first(c);
        c.outputs = {{DType::kF32, {}}};
        return absl::OkStatus();
      },
      AttributesSchema::of<EverythingAttributes>());
  add("effect", 1, 1, [](InferenceContext&) { return absl::OkStatus(); });
  add("odd op!", 1, 1, like_first);
  return registry;
}

}  // namespace

const OpRegistry& ops() {
  static const OpRegistry* const registry = make_ops();
  return *registry;
}

}  // namespace modellib::testing
