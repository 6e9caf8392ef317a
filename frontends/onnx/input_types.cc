#include "modellib/frontends/onnx/input_types.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/element_types.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {
namespace {

bool is_letter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_part(char c) {
  return is_letter(c) || absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '.';
}

// Words of the text form of expressions.
bool is_function(absl::string_view name) {
  return name == "min" || name == "max" || name == "mod" || name == "floordiv";
}

std::string identifier(absl::string_view name) {
  std::string out;
  if (name.empty() || !is_letter(name[0])) out = "_";
  for (char c : name) out += is_part(c) ? c : '_';
  if (is_function(out)) out += '_';
  return out;
}

// "?" and the like are not names: exporters write them for each dimension that they do not know.
bool is_name(absl::string_view param) {
  for (char c : param) {
    if (is_letter(c)) return true;
  }
  return false;
}

// A declared type: what an optional, or a sequence, or an optional of a sequence holds.
struct Declared {
  bool optional = false, sequence = false;
  const onnx_proto::TypeProto* held = nullptr;
};
Declared declared_of(const onnx_proto::TypeProto& type) {
  Declared declared;
  declared.held = &type;
  if (declared.held->has_optional_type()) {
    declared.optional = true;
    declared.held = &declared.held->optional_type().elem_type();
  }
  if (declared.held->has_sequence_type()) {
    declared.sequence = true;
    declared.held = &declared.held->sequence_type().elem_type();
  }
  return declared;
}

}  // namespace

absl::flat_hash_set<std::string> constants_of(const onnx_proto::GraphProto& graph,
                                              const std::set<std::string>& overridden) {
  absl::flat_hash_set<std::string> names;
  for (const auto& proto : graph.initializer()) names.insert(proto.name());
  for (const auto& proto : graph.sparse_initializer()) names.insert(proto.values().name());
  for (const auto& input : graph.input()) {
    if (overridden.contains(input.name())) names.erase(input.name());
  }
  return names;
}

std::string SymbolNames::unique(std::string wanted) {
  std::string name = wanted;
  for (int i = 1; !taken_.insert(name).second; ++i) name = absl::StrCat(wanted, "_", i);
  return name;
}

Dim SymbolNames::of_param(const std::string& param) {
  const auto it = by_param_.find(param);
  if (it != by_param_.end()) return Dim::symbol(it->second);
  const std::string name = unique(identifier(param));
  by_param_.emplace(param, name);
  return Dim::symbol(name);
}

Dim SymbolNames::anonymous(const std::string& input, int axis) {
  return Dim::symbol(unique(identifier(absl::StrCat(input, "_dim", axis))));
}

absl::StatusOr<ModelInput> declared_input(const onnx_proto::ValueInfoProto& info,
                                          SymbolNames& symbols) {
  if (!info.has_type()) return absl::InvalidArgumentError("it has no type");
  ModelInput input;
  input.name = info.name();
  const Declared declared = declared_of(info.type());
  input.optional = declared.optional;
  input.sequence = declared.sequence;
  if (!declared.held->has_tensor_type()) {
    return absl::UnimplementedError(
        "only tensors, sequences of tensors and optionals of both are supported, no maps and no "
        "sparse tensors");
  }
  const auto& tensor = declared.held->tensor_type();
  MODELLIB_ASSIGN_OR_RETURN(input.dtype, dtype_of_onnx(tensor.elem_type()));
  if (!tensor.has_shape()) return input;
  constexpr int kMaxRank = 64;
  if (tensor.shape().dim_size() > kMaxRank) {
    return absl::InvalidArgumentError(absl::StrCat("its rank is ", tensor.shape().dim_size()));
  }
  Shape& shape = input.shape.emplace();
  for (int i = 0; i < tensor.shape().dim_size(); ++i) {
    const auto& dim = tensor.shape().dim(i);
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      shape.emplace_back(dim.dim_value());
    } else if (dim.has_dim_value() && dim.dim_value() != -1) {
      return absl::InvalidArgumentError(
          absl::StrCat("axis ", i, " has the extent ", dim.dim_value()));
    } else if (is_name(dim.dim_param())) {
      shape.push_back(symbols.of_param(dim.dim_param()));
    } else {
      shape.push_back(symbols.anonymous(info.name(), i));
    }
  }
  return input;
}

absl::StatusOr<TensorType> tensor_type(const ModelInput& declared, const TensorType* given) {
  if (given == nullptr) {
    if (declared.shape.has_value()) return TensorType{declared.dtype, *declared.shape};
    return absl::UnimplementedError("its rank is not known");
  }
  bool fits = given->dtype == declared.dtype;
  if (declared.shape.has_value()) {
    const Shape& shape = *declared.shape;
    fits = fits && given->shape.size() == shape.size();
    for (size_t d = 0; fits && d < shape.size(); ++d) {
      fits = !shape[d].is_static() || !given->shape[d].is_static() || shape[d] == given->shape[d];
    }
  }
  if (fits) return *given;
  return absl::InvalidArgumentError(
      absl::StrCat("it is declared to hold ", to_string(declared.dtype),
                   declared.shape.has_value() ? to_string(*declared.shape) : "",
                   ", and is to hold ", to_string(*given)));
}

absl::Status check_output_type(const onnx_proto::ValueInfoProto& info, const Item& item) {
  if (info.type().value_case() == onnx_proto::TypeProto::VALUE_NOT_SET) return absl::OkStatus();
  const Declared declared = declared_of(info.type());
  if (item.is_nothing()) {
    if (declared.optional) return absl::OkStatus();
    return absl::InvalidArgumentError("it is empty, and not declared as an optional");
  }
  if (declared.sequence != (item.sequence() != nullptr)) {
    return absl::InvalidArgumentError(declared.sequence
                                          ? "it is declared as a sequence, but is a tensor"
                                          : "it is a sequence, and not declared as one");
  }
  if (!declared.held->has_tensor_type() || declared.held->tensor_type().elem_type() == 0) {
    return absl::OkStatus();
  }
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype,
                            dtype_of_onnx(declared.held->tensor_type().elem_type()));
  const DType own = item.sequence() != nullptr ? item.sequence()->dtype : item.tensor().dtype();
  if (dtype == own) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("it is declared as ", to_string(dtype), ", but is ",
                   item.sequence() != nullptr ? to_string(own) : to_string(item.tensor().type())));
}

}  // namespace modellib::onnx
