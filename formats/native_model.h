// The native model, .mlmodel: a program with its constants and what its variables hold, in one
// container (formats/container.h). Graphs are FlatBuffers metadata (formats/model.fbs), tensors lie
// in segments and are used in place: opening a model of many gigabytes reads its metadata alone.
#ifndef MODELLIB_FORMATS_NATIVE_MODEL_H_
#define MODELLIB_FORMATS_NATIVE_MODEL_H_

#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/formats/container.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/program.h"
#include "modellib/graph/tensor.h"

namespace modellib {

struct Model {
  Program program;
  // What variables hold, by name. A variable that is not there gets its content from the program's
  // "initialize" entry.
  absl::btree_map<std::string, Tensor> variables;
  // Further tensors: those that a text form names by hash.
  std::vector<Tensor> tensors;
};

// Everything survives: graphs with their regions, names, scopes, ranges and constraints, attributes
// and tensors to the last bit. InvalidArgument for content that does not fit its variable.
absl::Status write_model(const Model& model, const std::string& path);
// The same bytes in memory.
absl::StatusOr<std::vector<std::byte>> model_bytes(const Model& model);

// Tensors borrow from the container's bytes and keep them alive. The graphs are verified; whatever
// does not fit is an InvalidArgument, ops that `registry` lacks an Unimplemented that lists them
// all, a newer format a FailedPrecondition.
absl::StatusOr<Model> read_model(const std::string& path, const OpRegistry& registry,
                                 const ContainerOptions& options = {});
absl::StatusOr<Model> read_model(const Container& container, const OpRegistry& registry);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_NATIVE_MODEL_H_
