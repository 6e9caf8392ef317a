#include "modellib/frontends/cli/value_names.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/assemble.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
absl::StatusOr<Program> name_values(const Program& program) {
  Program named;
  for (const Program::Entry& entry : program.entries) {
    GraphParts parts = disassemble(*entry.graph);
    absl::flat_hash_set<std::string> taken;
    for (const Graph::ValueInfo& value : parts.values) taken.insert(value.name);
    absl::flat_hash_map<std::string, int> last;
    for (size_t id = 0; id < parts.values.size(); ++id) {
      Graph::ValueInfo& value = parts.values[id];
      const auto value_id = static_cast<ValueId>(id);
      if (value.producer < 0 || !value.name.empty() ||
          constant_value(*entry.graph, value_id) != nullptr) {
        continue;
      }
      const Graph::Node& node = parts.nodes[static_cast<size_t>(value.producer)];
      const std::string& scope = parts.scopes[static_cast<size_t>(node.scope)];
      const std::string base = absl::StrCat(scope, scope.empty() ? "" : ".", node.op->name);
      int& number = last[base];
      do {
        value.name = ++number == 1 ? base : absl::StrCat(base, "#", number);
      } while (!taken.insert(value.name).second);
    }
    MODELLIB_ASSIGN_OR_RETURN(GraphRef graph, assemble(std::move(parts)));
    named.entries.push_back({entry.name, std::move(graph)});
  }
  return named;
}

}  // namespace modellib::cli
