#include "modellib/frontends/onnx/importer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/external_data.h"
#include "modellib/frontends/onnx/graph_importer.h"
#include "modellib/frontends/onnx/input_types.h"
#include "modellib/frontends/onnx/model_file.h"
#include "modellib/frontends/onnx/tensor_store.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"

namespace modellib::onnx {
namespace {

// Bounds that the graph implies: where a constraint says that min(symbol, n) is the symbol itself,
// the symbol is at most n. Position tables that are cut to the length of the input say it that way.
// True if a bound is new.
bool add_implied_bounds(const Graph& graph, DimRanges& ranges) {
  bool added = false;
  for (const Graph::Constraint& c : graph.constraints()) {
    for (const auto& [symbol, capped] : {std::pair(c.left, c.right), std::pair(c.right, c.left)}) {
      if (!symbol.is_symbol()) continue;
      const int64_t limit = capped.range({}).max;
      if (limit == DimRange::kUnbounded || !(capped == min(symbol, Dim(limit)))) continue;
      DimRange& range = ranges[symbol.symbol_name()];
      added = added || range.max > limit;
      range.max = std::min(range.max, limit);
    }
  }
  return added;
}

// `folders`: of external data.
absl::StatusOr<Model> import_proto(const onnx_proto::ModelProto& proto,
                                   std::vector<std::string> folders, const ImportOptions& options,
                                   Signature* signature) {
  TensorStore tensors(std::move(folders));
  const OpRegistry& registry = options.registry == nullptr ? builtin_ops() : *options.registry;
  // Knowing a bound makes simpler expressions, from which another may follow.
  constexpr int kMostRounds = 4;
  DimRanges ranges;
  for (int round = 1;; ++round) {
    MODELLIB_ASSIGN_OR_RETURN(ImportedGraph imported,
                              import_graph(proto, tensors, registry, ranges, options));
    if (round < kMostRounds && add_implied_bounds(*imported.graph, ranges)) continue;
    Model model;
    model.program.entries.push_back({"main", std::move(imported.graph)});
    if (signature != nullptr) *signature = std::move(imported.signature);
    return model;
  }
}

absl::Status in_file(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<Model> import_model(const std::string& path, const ImportOptions& options,
                                   Signature* signature) {
  const auto proto = read_model_proto(path);
  if (!proto.ok()) return in_file(path, proto.status());
  auto model = import_proto(**proto, folders_of(path), options, signature);
  if (!model.ok()) return in_file(path, model.status());
  return model;
}

absl::StatusOr<std::vector<ModelInput>> model_inputs(const std::string& path,
                                                     const std::set<std::string>& overridden) {
  const auto proto = read_model_proto(path);
  if (!proto.ok()) return in_file(path, proto.status());
  const absl::flat_hash_set<std::string> constants = constants_of((*proto)->graph(), overridden);
  SymbolNames symbols;
  std::vector<ModelInput> inputs;
  for (const auto& info : (*proto)->graph().input()) {
    if (constants.contains(info.name())) continue;
    auto input = declared_input(info, symbols);
    if (!input.ok()) return in_file(path, input.status());
    inputs.push_back(*std::move(input));
  }
  return inputs;
}

absl::StatusOr<std::map<std::string, std::string>> model_metadata(const std::string& path) {
  const auto proto = read_model_proto(path);
  if (!proto.ok()) return in_file(path, proto.status());
  std::map<std::string, std::string> metadata;
  for (const auto& entry : (*proto)->metadata_props()) metadata[entry.key()] = entry.value();
  return metadata;
}

absl::StatusOr<Model> import_model_bytes(absl::string_view bytes, const ImportOptions& options,
                                         Signature* signature) {
  MODELLIB_ASSIGN_OR_RETURN(const auto proto, parse_model_proto(bytes));
  std::vector<std::string> folders;
  if (!options.folder.empty()) folders.push_back(options.folder);
  return import_proto(*proto, std::move(folders), options, signature);
}

}  // namespace modellib::onnx
