#include "modellib/frontends/cli/dims.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

void add_dims(const Graph& graph, std::set<std::string>& names) {
  for (ValueId id : graph.inputs()) {
    for (const Dim& d : graph.type(id).shape) {
      for (const std::string& symbol : d.symbols()) names.insert(symbol);
    }
  }
}

void add_dims(const fb::Plan& plan, std::set<std::string>& names) {
  if (plan.entries() == nullptr) return;
  for (const fb::Entry* entry : *plan.entries()) {
    if (entry->symbols() == nullptr) continue;
    for (const fb::Symbol* symbol : *entry->symbols()) {
      // What begins with "$" the runtime binds itself.
      const std::string name = symbol->name() == nullptr ? "" : symbol->name()->str();
      if (!name.empty() && name[0] != '$') names.insert(name);
    }
  }
}

}  // namespace

std::vector<std::string> dim_names(const LoadedFile& file) {
  std::set<std::string> names;
  if (file.plan != nullptr) add_dims(file.plan->plan(), names);
  if (file.model.has_value()) {
    for (const Program::Entry& entry : file.model->program.entries) add_dims(*entry.graph, names);
  }
  return {names.begin(), names.end()};
}

DimRanges dims_among(const DimRanges& dims, const std::vector<std::string>& names) {
  DimRanges among;
  for (const std::string& name : names) {
    const auto asked = dims.find(name);
    if (asked != dims.end()) among[name] = asked->second;
  }
  return among;
}

absl::Status check_dim_names(const DimRanges& dims, const std::vector<std::string>& names) {
  for (const auto& [name, range] : dims) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    return wrong_usage(
        absl::StrCat("--dim: there is no free dimension '", name, "'",
                     names.empty() ? "; all are fixed"
                                   : absl::StrCat("; there are: ", absl::StrJoin(names, ", "))));
  }
  return absl::OkStatus();
}

absl::Status check_dims(const LoadedFile& file, const DimRanges& dims) {
  MODELLIB_RETURN_IF_ERROR(check_dim_names(dims, dim_names(file)));
  if (file.plan == nullptr) return absl::OkStatus();
  for (const auto& [name, range] : dims) {
    if (range.min == range.max) continue;
    return wrong_usage(absl::StrCat("--dim: '", name, "' has bounds in the plan; give a number, ",
                                    name, "=", range.max));
  }
  return absl::OkStatus();
}

}  // namespace modellib::cli
