// ONNX models as programs.
//
//   absl::StatusOr<Model> model = onnx::import_model("model.onnx");
//   model->program.entries[0].graph   // entry "main"
//
// What is read: operator sets from 7 on as far as the table of ops (op_table.h) has entries,
// initializers, external data, functions of the model, If. Weights become constants; while it is
// read, a model never lies in memory twice. A free dimension with a name becomes a symbol of that
// name, one without the symbol INPUT_dimN; all of them are at least 1. Shape arithmetic is followed
// at import (contents.h), so that shapes are expressions over these symbols. Sequences are taken
// apart: a graph has one input or output for each tensor of them.
#ifndef MODELLIB_FRONTENDS_ONNX_IMPORTER_H_
#define MODELLIB_FRONTENDS_ONNX_IMPORTER_H_

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/op_def.h"

namespace modellib::onnx {

struct ImportOptions {
  // Null: the built-in ops. Must outlive the model.
  const OpRegistry* registry = nullptr;
  // Where a model in memory has its external data; empty: it has none. A file's is its own folder,
  // and that of the file which it is a link to.
  std::string folder;
  // What inputs hold, by name, where that decides shapes (the axes of a reduction, the sizes of a
  // resize). The graph keeps such an input and computes with this content instead: it is right for
  // no other.
  std::map<std::string, Tensor> known_inputs;
  // An initializer that stands among the model's inputs too is a default: it becomes a constant,
  // unless it is named here. Then it becomes an input, which needs content like all others. Names
  // that are no defaults of the model mean nothing.
  std::set<std::string> overridden;
  // The types of the tensors that inputs hold, by name. A sequence needs one for each tensor of it,
  // a tensor whose rank the model does not say needs one; for others, what is given here stands in
  // place of the extents that the model leaves free. Nothing: an optional that is empty; one that
  // is not named is taken not to be.
  std::map<std::string, std::optional<std::vector<TensorType>>> input_types;
};

// How a model's own inputs and outputs stand among the graph's, in order: a tensor is one of them,
// the tensors of a sequence X follow each other as X[0], X[1] and so on, an empty optional is none.
struct Signature {
  struct Part {
    std::string name;
    bool sequence = false;
    size_t tensors = 1;
    bool optional = false;  // declared so
  };
  std::vector<Part> inputs, outputs;
};

// Errors: NotFound and the like for the file. ResourceExhausted for models of more than a million
// nodes once their functions are written out. InvalidArgument where the model is at fault: it names
// the node (its index, name and op), the initializer or the input, or else the byte where the file
// is no ONNX model. Unimplemented where it is not: the message lists all nodes that are not
// supported, each with its operator set and the nearest thing that is.
// `signature`, if given, is set where the model is imported.
absl::StatusOr<Model> import_model(const std::string& path, const ImportOptions& options = {},
                                   Signature* signature = nullptr);
absl::StatusOr<Model> import_model_bytes(absl::string_view bytes, const ImportOptions& options = {},
                                         Signature* signature = nullptr);

// The inputs of a model, whether its nodes are supported or not; initializers are none, unless they
// are `overridden` (ImportOptions).
struct ModelInput {
  std::string name;
  bool optional = false;
  bool sequence = false;
  DType dtype = DType::kF32;   // of each tensor
  std::optional<Shape> shape;  // likewise; nothing if the model does not say the rank
};
absl::StatusOr<std::vector<ModelInput>> model_inputs(const std::string& path,
                                                     const std::set<std::string>& overridden = {});

// What the model's author says beside the graph, by key: names of classes, say. Of a key that
// stands twice, the last.
absl::StatusOr<std::map<std::string, std::string>> model_metadata(const std::string& path);

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_IMPORTER_H_
