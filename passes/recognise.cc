#include "modellib/passes/recognise.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/rebuild.h"
#include "modellib/passes/recognise_rules.h"

namespace modellib {
namespace {

using recognise_rules::Found;
using recognise_rules::Rule;

const std::vector<Rule>& rules() {
  static const auto* const all = [] {
    auto* list = new std::vector<Rule>;
    for (const auto& family :
         {recognise_rules::activation_rules(), recognise_rules::normalization_rules(),
          recognise_rules::attention_rules()}) {
      list->insert(list->end(), family.begin(), family.end());
    }
    return list;
  }();
  return *all;
}

std::optional<Value> replacement(RebuildSite& site, const Matcher& matcher, PassContext& context) {
  if (site.node.num_outputs == 0 || context.exhausted()) return std::nullopt;
  const ValueId root = site.node.output(0);
  for (const Rule& rule : rules()) {
    const auto remark = [&](absl::string_view why) {
      context.explain(absl::StrCat("node ", site.id, " is no ", rule.op, ": ", why));
    };
    const std::optional<Match> match = matcher.match(rule.pattern, root);
    if (!match.has_value()) {
      if (!context.explaining()) continue;
      const Matcher::Miss miss = matcher.miss(rule.pattern, root);
      if (miss.closeness >= rule.telling) remark(miss.why);
      continue;
    }
    if (const std::string escaping = matcher.escape(*match); !escaping.empty()) {
      remark(escaping);
      continue;
    }
    const Found found{site, matcher, *match};
    absl::StatusOr<Value> value = rule.build(found);
    if (!value.ok()) {
      remark(value.status().message());
      continue;
    }
    context.may_rewrite();  // counts it: the budget is not exhausted
    return *value;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<GraphRef> recognise(const GraphRef& graph, PassContext& context) {
  GraphRef current = graph;
  // A composite may be part of a larger one, which the next round finds.
  while (true) {
    bool changed = false;
    const Matcher matcher(*current);
    MODELLIB_ASSIGN_OR_RETURN(GraphRef next,
                              rebuild(*current, context.registry(),
                                      [&](RebuildSite& site) -> std::optional<std::vector<Value>> {
                                        const std::optional<Value> composite =
                                            replacement(site, matcher, context);
                                        if (!composite.has_value()) return std::nullopt;
                                        changed = true;
                                        return std::vector<Value>{*composite};
                                      }));
    // The last round has dropped what the composites made dead.
    if (!changed) return current == graph ? graph : next;
    current = std::move(next);
  }
}

}  // namespace modellib
