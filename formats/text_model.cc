#include "modellib/formats/text_model.h"

#include <unistd.h>

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/formats/output_file.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/text.h"

namespace modellib {
namespace {

std::string companion_of(const std::string& path) { return absl::StrCat(path, ".data"); }

// A model that holds nothing but tensors. Its one graph names the variables, so that their contents
// find a place.
absl::StatusOr<Model> companion(const Model& model, const SideData& side) {
  Model out;
  const OpRegistry no_ops;
  GraphBuilder builder(no_ops, "data");
  for (const VariableRef& variable : model.program.variables()) {
    if (model.variables.contains(variable->name)) builder.variable(*variable);
  }
  MODELLIB_ASSIGN_OR_RETURN(GraphRef graph, builder.build());
  out.program.entries.push_back({"data", std::move(graph)});
  out.variables = model.variables;
  for (const auto& [hash, tensor] : side.tensors()) out.tensors.push_back(tensor);
  return out;
}

}  // namespace

absl::Status write_text_model(const Model& model, const std::string& path) {
  SideData side;
  const std::string text = print(model.program, {.side_data = &side});
  // Nothing but the renaming is left to fail once the old companion is gone.
  MODELLIB_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  MODELLIB_RETURN_IF_ERROR(
      file.write({reinterpret_cast<const std::byte*>(text.data()), text.size()}));
  const bool alone = side.tensors().empty() && model.variables.empty();
  if (!alone) {
    MODELLIB_ASSIGN_OR_RETURN(const Model data, companion(model, side));
    MODELLIB_RETURN_IF_ERROR(write_model(data, companion_of(path)));
  }
  MODELLIB_RETURN_IF_ERROR(file.commit(OutputFile::Durability::kCached));
  if (alone) ::unlink(companion_of(path).c_str());
  return absl::OkStatus();
}

absl::StatusOr<Model> read_text_model(const std::string& path, const OpRegistry& registry,
                                      const ContainerOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  Model model;
  SideData side;
  if (::access(companion_of(path).c_str(), F_OK) == 0) {
    MODELLIB_ASSIGN_OR_RETURN(Model data, read_model(companion_of(path), registry, options));
    for (const Tensor& tensor : data.tensors) side.add(tensor);
    model.variables = std::move(data.variables);
  }
  absl::StatusOr<Program> program = parse_program(text, registry, side);
  if (!program.ok()) {
    return absl::Status(program.status().code(),
                        absl::StrCat(path, ":", program.status().message()));
  }
  model.program = *std::move(program);
  for (const auto& [name, content] : model.variables) {
    bool known = false;
    for (const VariableRef& v : model.program.variables()) {
      known = known || (v->name == name && v->type.dtype == content.dtype() &&
                        v->type.shape == Shape(content.shape().begin(), content.shape().end()));
    }
    if (!known) {
      return absl::InvalidArgumentError(
          absl::StrCat(companion_of(path), ": the text has no variable '", name, "' of that type"));
    }
  }
  return model;
}

}  // namespace modellib
