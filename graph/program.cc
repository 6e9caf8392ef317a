#include "modellib/graph/program.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace modellib {

const Graph* Program::find(absl::string_view entry) const {
  for (const Entry& e : entries) {
    if (e.name == entry) return e.graph.get();
  }
  return nullptr;
}

std::vector<VariableRef> Program::variables() const {
  std::vector<VariableRef> found;
  absl::flat_hash_map<std::string, int> seen;
  for (const Entry& e : entries) {
    for (const Graph::VariableUse& use : e.graph->variables()) {
      if (seen.try_emplace(use.variable->name, 0).second) found.push_back(use.variable);
    }
  }
  return found;
}

absl::Status Program::verify() const {
  absl::flat_hash_map<std::string, VariableRef> seen;
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry& e = entries[i];
    if (e.graph == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("entry '", e.name, "' has no graph"));
    }
    for (size_t j = 0; j < i; ++j) {
      if (entries[j].name == e.name) {
        return absl::InvalidArgumentError(absl::StrCat("two entries are named '", e.name, "'"));
      }
    }
    for (const Graph::VariableUse& use : e.graph->variables()) {
      auto [it, inserted] = seen.try_emplace(use.variable->name, use.variable);
      if (!(*it->second == *use.variable)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "variable '", use.variable->name, "' is ", to_string(it->second->type), " ",
            to_string(it->second->kind), " in one entry, ", to_string(use.variable->type), " ",
            to_string(use.variable->kind), " in '", e.name, "'"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib
