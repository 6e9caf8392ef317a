#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/text.h"
#include "modellib/graph/text_literals.h"

namespace modellib {
namespace {

using text::quote;

// Words that begin a statement or mean something as an operand.
bool is_reserved(absl::string_view word) {
  return word == "_" || word == "dim" || word == "require" || word == "assign" || word == "return";
}

// As an identifier, with what does not fit replaced by underscores.
std::string sanitized(absl::string_view name) {
  std::string out;
  if (name.empty() || !text::is_identifier_start(name[0])) out = "_";
  for (char c : name) out += text::is_identifier_part(c) ? c : '_';
  if (is_reserved(out)) out += '_';
  return out;
}

// What values are called in the text.
class Names {
 public:
  explicit Names(const Graph& graph) : graph_(graph), names_(graph.values().size()) {
    for (ValueId id : graph.inputs()) add(id, true);
    for (const Graph::VariableUse& use : graph.variables()) {
      if (use.value != kNoValue) add(use.value, true);
    }
    for (const Graph::Node& node : graph.nodes()) {
      for (int i = 0; i < node.num_outputs; ++i) add(node.output(i), false);
    }
  }
  const std::string& operator[](ValueId id) const { return names_[static_cast<size_t>(id)]; }

  // With the exact name, where the identifier does not tell it.
  std::string definition(ValueId id) const {
    const std::string& exact = graph_.value(id).name;
    const std::string& name = (*this)[id];
    return name[0] == '%' || name == exact ? name : absl::StrCat(name, " ", quote(exact));
  }

 private:
  void add(ValueId id, bool needs_identifier) {
    const std::string& exact = graph_.value(id).name;
    std::string& name = names_[static_cast<size_t>(id)];
    if (exact.empty() && !needs_identifier) {
      name = absl::StrCat("%", unnamed_++);
      return;
    }
    const std::string base = sanitized(exact);
    name = base;
    for (int& n = suffix_[base]; !taken_.insert(name).second;) {
      name = absl::StrCat(base, "_", ++n);
    }
  }

  const Graph& graph_;
  std::vector<std::string> names_;
  absl::flat_hash_set<std::string> taken_;
  absl::flat_hash_map<std::string, int> suffix_;
  int unnamed_ = 0;
};

class Printer {
 public:
  Printer(const PrintOptions& options, int indent) : options_(options), indent_(indent) {}

  std::string graph(const Graph& g, absl::string_view entry) {
    const Names names(g);
    std::string head = absl::StrCat("graph ", quote(g.name()));
    if (entry != g.name()) absl::StrAppend(&head, " entry ", quote(entry));
    std::vector<std::string> inputs;
    for (ValueId id : g.inputs()) {
      inputs.push_back(absl::StrCat(names.definition(id), ": ", to_string(g.type(id))));
    }
    std::string out = absl::StrCat(head, " (", wrapped(inputs, head.size() + 6), ") {\n");
    ++indent_;
    for (const auto& [symbol, range] : g.ranges()) {
      line(out, absl::StrCat("dim ", text::is_identifier(symbol) ? symbol : quote(symbol), " in ",
                             range.min, "..",
                             range.max == DimRange::kUnbounded ? "" : absl::StrCat(range.max)));
    }
    for (const Graph::Constraint& c : g.constraints()) {
      line(out, absl::StrCat("require ", c.left.to_string(), " == ", c.right.to_string(), " ",
                             quote(c.reason)));
    }
    for (const Graph::VariableUse& use : g.variables()) line(out, variable(use, names));
    for (const Graph::Node& node : g.nodes()) line(out, this->node(g, node, names));
    for (const Graph::VariableUse& use : g.variables()) {
      if (use.assigned == kNoValue) continue;
      line(out, absl::StrCat("assign ", quote(use.variable->name), " = ", names[use.assigned]));
    }
    if (!g.outputs().empty()) {
      std::vector<std::string> outputs;
      for (const Graph::Output& output : g.outputs()) {
        const std::string& value = names[output.value];
        outputs.push_back(
            output.name == value ? value : absl::StrCat(output_name(output.name), " = ", value));
      }
      line(out, absl::StrCat("return ", wrapped(outputs, 10)));
    }
    --indent_;
    absl::StrAppend(&out, margin(), "}");
    return out;
  }

 private:
  std::string margin() const { return std::string(static_cast<size_t>(indent_) * 2, ' '); }
  void line(std::string& out, absl::string_view text) const {
    absl::StrAppend(&out, margin(), text, "\n");
  }

  // On one line where it fits after `used` columns, else each on its own.
  std::string wrapped(const std::vector<std::string>& items, size_t used) const {
    std::string one = absl::StrJoin(items, ", ");
    if (items.size() <= 1 || used + margin().size() + one.size() <= 100) return one;
    return absl::StrJoin(items, absl::StrCat(",\n", margin(), "    "));
  }

  static std::string output_name(const std::string& name) {
    return text::is_identifier(name) && !is_reserved(name) ? name : quote(name);
  }

  static std::string variable(const Graph::VariableUse& use, const Names& names) {
    const Variable& v = *use.variable;
    return absl::StrCat(
        use.value == kNoValue ? "_" : names[use.value], ": ",
        v.kind == Variable::Kind::kShared ? "" : absl::StrCat(to_string(v.kind), " "), "var ",
        to_string(v.type), " ", quote(v.name));
  }

  std::string node(const Graph& g, const Graph::Node& node, const Names& names) {
    std::string out;
    for (int i = 0; i < node.num_outputs; ++i) {
      const ValueId id = node.output(i);
      absl::StrAppend(&out, i == 0 ? "" : ", ", names.definition(id));
      if (options_.types) absl::StrAppend(&out, ": ", to_string(g.type(id)));
    }
    const std::string& op = node.op->name;
    absl::StrAppend(&out, node.num_outputs == 0 ? "" : " = ",
                    text::is_identifier(op) && !is_reserved(op) ? op : quote(op), "(");
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      absl::StrAppend(&out, i == 0 ? "" : ", ",
                      node.inputs[i] == kNoValue ? "_" : names[node.inputs[i]]);
    }
    out += ")";
    const AttributeList attributes = node.attributes.list();
    for (size_t i = 0; i < attributes.size(); ++i) {
      const auto& [name, value] = attributes[i];
      absl::StrAppend(&out, i == 0 ? " {" : ", ", text::is_identifier(name) ? name : quote(name),
                      ": ", attribute(value));
    }
    if (!attributes.empty()) out += "}";
    const std::string& scope = g.scopes()[static_cast<size_t>(node.scope)];
    if (!scope.empty()) absl::StrAppend(&out, "  // ", comment(scope));
    return out;
  }

  // A scope as it is where a comment can hold it, else quoted.
  static std::string comment(const std::string& scope) {
    std::string quoted = quote(scope);
    const bool plain =
        quoted.size() == scope.size() + 2 && scope.front() != ' ' && scope.back() != ' ';
    return plain ? scope : quoted;
  }

  std::string attribute(const AttributeValue& value) {
    return std::visit([&](const auto& v) { return literal(v); }, value);
  }
  static std::string literal(bool v) { return v ? "true" : "false"; }
  static std::string literal(int64_t v) { return absl::StrCat(v); }
  static std::string literal(double v) { return text::format_float(v); }
  static std::string literal(const std::string& v) { return quote(v); }
  static std::string literal(DType v) { return std::string(to_string(v)); }
  static std::string literal(const std::vector<int64_t>& v) {
    return absl::StrCat("[", absl::StrJoin(v, ", "), "]");
  }
  static std::string literal(const std::vector<double>& v) {
    return absl::StrCat("[",
                        absl::StrJoin(v, ", ",
                                      [](std::string* out, double d) {
                                        absl::StrAppend(out, text::format_float(d));
                                      }),
                        "]");
  }
  static std::string literal(const Shape& v) {
    return absl::StrCat("[",
                        absl::StrJoin(v, ", ",
                                      [](std::string* out, const Dim& d) {
                                        const std::string s = d.to_string();
                                        // A symbol "inf" or "nan" would read as a float.
                                        const bool clash = text::looks_like_float(s);
                                        absl::StrAppend(out, clash ? "(" : "", s, clash ? ")" : "");
                                      }),
                        "]");
  }
  std::string literal(const Tensor& t) const {
    if (t.dtype() == DType::kInvalid) return "no_tensor";
    std::string out = absl::StrCat(to_string(t.dtype()), "[", absl::StrJoin(t.shape(), ","), "] ");
    if (t.elements() > options_.max_inline_elements &&
        (options_.side_data == nullptr || options_.side_data->add(t))) {
      return absl::StrCat(out, "@", absl::Hex(t.content_hash(), absl::kZeroPad16));
    }
    out += "[";
    for (int64_t i = 0; i < t.elements(); ++i) {
      absl::StrAppend(&out, i == 0 ? "" : ", ", text::format_element(t, i));
    }
    return out + "]";
  }
  std::string literal(const GraphRef& v) {
    return v == nullptr ? "no_graph" : Printer(options_, indent_).graph(*v, v->name());
  }

  const PrintOptions& options_;
  int indent_;
};

}  // namespace

bool SideData::add(const Tensor& tensor) {
  const auto [it, inserted] = tensors_.try_emplace(tensor.content_hash(), tensor);
  return inserted || it->second.identical(tensor);
}

const Tensor* SideData::find(uint64_t hash) const {
  const auto it = tensors_.find(hash);
  return it == tensors_.end() ? nullptr : &it->second;
}

std::string print(const Graph& graph, const PrintOptions& options) {
  return Printer(options, 0).graph(graph, graph.name()) + "\n";
}

std::string print(const Program& program, const PrintOptions& options) {
  std::string out;
  for (const Program::Entry& entry : program.entries) {
    absl::StrAppend(&out, out.empty() ? "" : "\n",
                    Printer(options, 0).graph(*entry.graph, entry.name), "\n");
  }
  return out;
}

}  // namespace modellib
