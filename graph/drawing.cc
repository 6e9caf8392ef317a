#include "modellib/graph/drawing.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"

namespace modellib {
namespace {

// A label in quotes. Graphviz reads \n and the like; whatever is no plain text becomes a space.
std::string label(absl::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

// "encoder.layer0" is layer0 in encoder. Dots in quotes belong to a name.
std::vector<std::string> parts_of(absl::string_view scope) {
  constexpr size_t kMost = 16;
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (const char c : scope) {
    if (c == '\'') quoted = !quoted;
    if (c == '.' && !quoted && parts.size() < kMost) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Scopes as a tree, by their dots.
struct ScopeTree {
  std::map<std::string, ScopeTree> inner;
  std::vector<std::string> lines;  // of the nodes in it
};

class Drawer {
 public:
  explicit Drawer(const DrawingOptions& options) : options_(options) {}

  // One graph as a cluster.
  void graph(const Graph& g, absl::string_view title, int indent) {
    const int id = graphs_++;
    const auto value = [&](ValueId v) { return absl::StrCat("g", id, "v", v); };
    const auto node = [&](size_t n) { return absl::StrCat("g", id, "n", n); };
    line(indent, absl::StrCat("subgraph cluster_", clusters_++, " {"));
    line(indent + 1, absl::StrCat("label = ", label(title), "; style = rounded; color = gray40;"));
    for (ValueId v : g.inputs()) {
      box(indent + 1, value(v), absl::StrCat(g.value(v).name, "\n", to_string(g.type(v))),
          "shape = ellipse, fillcolor = \"#d7ecd9\"");
    }
    for (const Graph::VariableUse& use : g.variables()) {
      if (use.value == kNoValue) continue;
      box(indent + 1, value(use.value),
          absl::StrCat(use.variable->name, "\n", to_string(use.variable->type)),
          "shape = cylinder, fillcolor = \"#dde6f4\"");
    }
    ScopeTree root;
    std::vector<std::pair<std::string, GraphRef>> regions;
    for (size_t n = 0; n < g.nodes().size(); ++n) {
      const Graph::Node& at = g.nodes()[n];
      const bool constant = at.attributes.is<ConstantAttributes>();
      if (constant && !options_.constants) continue;
      ScopeTree* tree = &root;
      const std::string& scope = g.scopes()[static_cast<size_t>(at.scope)];
      if (!scope.empty()) {
        for (const std::string& part : parts_of(scope)) tree = &tree->inner[part];
      }
      std::string text = at.op->name;
      if (constant) absl::StrAppend(&text, "\n", to_string(g.type(at.first_output)));
      tree->lines.push_back(absl::StrCat(node(n), " [label = ", multiline(text), ", fillcolor = \"",
                                         constant ? "#eeeeee" : "#fff4d6", "\"];"));
      for (const auto& [name, attribute] : at.attributes.list()) {
        if (const auto* region = std::get_if<GraphRef>(&attribute); region && *region) {
          regions.emplace_back(absl::StrCat(at.op->name, ": ", name), *region);
        }
      }
    }
    scopes(root, indent + 1);
    for (size_t i = 0; i < g.outputs().size(); ++i) {
      box(indent + 1, absl::StrCat("g", id, "o", i), g.outputs()[i].name,
          "shape = ellipse, fillcolor = \"#f7d9d6\"");
    }
    for (const auto& [title_of_region, region] : regions) {
      graph(*region, title_of_region, indent + 1);
    }
    line(indent, "}");

    const auto edge = [&](ValueId from, const std::string& to) {
      const Graph::ValueInfo& info = g.value(from);
      if (info.producer >= 0 && !options_.constants && constant_value(g, from)) return;
      const std::string source =
          info.producer < 0 ? value(from) : node(static_cast<size_t>(info.producer));
      line(indent,
           absl::StrCat(
               source, " -> ", to,
               options_.types ? absl::StrCat(" [label = ", label(to_string(info.type)), "]") : "",
               ";"));
    };
    for (size_t n = 0; n < g.nodes().size(); ++n) {
      for (ValueId in : g.nodes()[n].inputs) {
        if (in != kNoValue) edge(in, node(n));
      }
    }
    for (size_t i = 0; i < g.outputs().size(); ++i) {
      edge(g.outputs()[i].value, absl::StrCat("g", id, "o", i));
    }
    for (size_t i = 0; i < g.variables().size(); ++i) {
      const Graph::VariableUse& use = g.variables()[i];
      if (use.assigned == kNoValue) continue;
      const std::string target = absl::StrCat("g", id, "a", i);
      box(indent, target, absl::StrCat("assign\n", use.variable->name),
          "shape = cylinder, fillcolor = \"#dde6f4\"");
      edge(use.assigned, target);
    }
  }

  std::string finish(absl::string_view name) const {
    return absl::StrCat("digraph ", label(name),
                        " {\n  rankdir = TB; fontname = \"Helvetica\";\n"
                        "  node [shape = box, style = filled, fontname = \"Helvetica\"];\n"
                        "  edge [fontname = \"Helvetica\", fontsize = 9];\n",
                        body_, "}\n");
  }

 private:
  void line(int indent, absl::string_view text) {
    absl::StrAppend(&body_, std::string(static_cast<size_t>(indent) * 2, ' '), text, "\n");
  }
  static std::string multiline(absl::string_view text) {
    std::vector<std::string> parts;
    std::string out;
    for (absl::string_view part : absl::StrSplit(text, '\n')) {
      const std::string quoted = label(part);
      absl::StrAppend(&out, out.empty() ? "" : "\\n", quoted.substr(1, quoted.size() - 2));
    }
    return absl::StrCat("\"", out, "\"");
  }
  void box(int indent, const std::string& id, absl::string_view text, absl::string_view style) {
    line(indent, absl::StrCat(id, " [label = ", multiline(text), ", ", style, "];"));
  }
  void scopes(const ScopeTree& tree, int indent) {
    for (const std::string& text : tree.lines) line(indent, text);
    for (const auto& [name, inner] : tree.inner) {
      line(indent, absl::StrCat("subgraph cluster_", clusters_++, " {"));
      line(indent + 1, absl::StrCat("label = ", label(name), "; style = dashed; color = gray60;"));
      scopes(inner, indent + 1);
      line(indent, "}");
    }
  }

  const DrawingOptions& options_;
  std::string body_;
  int graphs_ = 0;
  int clusters_ = 0;
};

}  // namespace

std::string draw_dot(const Graph& graph, const DrawingOptions& options) {
  Drawer drawer(options);
  drawer.graph(graph, graph.name(), 1);
  return drawer.finish(graph.name());
}

std::string draw_dot(const Program& program, const DrawingOptions& options) {
  Drawer drawer(options);
  for (const Program::Entry& entry : program.entries) drawer.graph(*entry.graph, entry.name, 1);
  return drawer.finish("program");
}

}  // namespace modellib
