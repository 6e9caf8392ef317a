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

absl::StatusOr<TensorType> input_type(const onnx_proto::ValueInfoProto& info,
                                      SymbolNames& symbols) {
  if (!info.has_type()) return absl::InvalidArgumentError("it has no type");
  if (!info.type().has_tensor_type()) {
    return absl::UnimplementedError("only tensors are supported, no sequences, maps or optionals");
  }
  const auto& tensor = info.type().tensor_type();
  TensorType type;
  MODELLIB_ASSIGN_OR_RETURN(type.dtype, dtype_of_onnx(tensor.elem_type()));
  if (!tensor.has_shape()) return absl::UnimplementedError("its rank is not known");
  constexpr int kMaxRank = 64;
  if (tensor.shape().dim_size() > kMaxRank) {
    return absl::InvalidArgumentError(absl::StrCat("its rank is ", tensor.shape().dim_size()));
  }
  for (int i = 0; i < tensor.shape().dim_size(); ++i) {
    const auto& dim = tensor.shape().dim(i);
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      type.shape.emplace_back(dim.dim_value());
    } else if (dim.has_dim_value() && dim.dim_value() != -1) {
      return absl::InvalidArgumentError(
          absl::StrCat("axis ", i, " has the extent ", dim.dim_value()));
    } else if (is_name(dim.dim_param())) {
      type.shape.push_back(symbols.of_param(dim.dim_param()));
    } else {
      type.shape.push_back(symbols.anonymous(info.name(), i));
    }
  }
  return type;
}

absl::Status check_output_type(const onnx_proto::ValueInfoProto& info, const Value& value) {
  if (!info.type().has_tensor_type() || info.type().tensor_type().elem_type() == 0) {
    return absl::OkStatus();
  }
  const auto& tensor = info.type().tensor_type();
  MODELLIB_ASSIGN_OR_RETURN(const DType dtype, dtype_of_onnx(tensor.elem_type()));
  if (dtype == value.dtype()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("it is declared as ", to_string(dtype), ", but is ", to_string(value.type())));
}

}  // namespace modellib::onnx
