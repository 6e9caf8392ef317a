#include "modellib/ops/epilogue.h"

#include "modellib/graph/op_def.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/pointwise.h"

namespace modellib {
namespace {

struct Activation {
  const char* name;
  Value (*apply)(Value);
};
constexpr Activation kActivations[] = {
    {"none", [](Value x) { return x; }},
    {"relu", [](Value x) { return relu(x); }},
    {"relu6", [](Value x) { return relu6(x); }},
    {"gelu", [](Value x) { return gelu(x); }},
    {"gelu_tanh", [](Value x) { return gelu(x, {.approximate = "tanh"}); }},
    {"silu", [](Value x) { return silu(x); }},
    {"sigmoid", [](Value x) { return sigmoid(x); }},
    {"tanh", [](Value x) { return tanh(x); }},
    {"hard_swish", [](Value x) { return hard_swish(x); }},
    {"hard_sigmoid", [](Value x) { return hard_sigmoid(x); }},
};

const Activation* find(absl::string_view name) {
  for (const Activation& a : kActivations) {
    if (name == a.name) return &a;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> epilogue_activations() {
  std::vector<std::string> names;
  for (const Activation& a : kActivations) names.emplace_back(a.name);
  return names;
}

bool is_epilogue_activation(absl::string_view name) { return find(name) != nullptr; }

Value apply_epilogue_activation(absl::string_view name, Value x) { return find(name)->apply(x); }

std::string epilogue_activation_of(const Graph::Node& node) {
  const std::string& op = node.op->name;
  if (op == "gelu") {
    return node.attributes.as<GeluAttributes>().approximate == "tanh" ? "gelu_tanh" : "gelu";
  }
  if (op == "clamp") {
    const auto& limits = node.attributes.as<ClampAttributes>();
    if (limits.min != 0.0) return "";
    return !limits.max.has_value() ? "relu" : limits.max == 6.0 ? "relu6" : "";
  }
  return op != "none" && op != "gelu_tanh" && is_epilogue_activation(op) ? op : "";
}

}  // namespace modellib
