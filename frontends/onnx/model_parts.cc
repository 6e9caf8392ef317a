#include "modellib/frontends/onnx/model_parts.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "modellib/frontends/onnx/op_table.h"

namespace modellib::onnx {
namespace {

using onnx_proto::FunctionProto;
using onnx_proto::NodeProto;

// A path of labels stands before each message and with each node: names are bounded, so that paths
// are.
std::string cut(absl::string_view name) {
  constexpr size_t kLongest = 200;
  if (name.size() <= kLongest) return std::string(name);
  return absl::StrCat(name.substr(0, kLongest), "...");
}

}  // namespace

std::string domain_of(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

std::string shown_domain(const std::string& domain) {
  return domain.empty() ? "ai.onnx" : cut(domain);
}

std::string shown_op(const NodeProto& node) {
  return absl::StrCat(shown_domain(domain_of(node.domain())), " ", cut(node.op_type()));
}

std::string label(absl::string_view what, int index, absl::string_view name) {
  std::string out = absl::StrCat(what, " #", index);
  if (!name.empty()) absl::StrAppend(&out, " '", cut(name), "'");
  return out;
}

std::string label(int index, const NodeProto& node) {
  return absl::StrCat(label("node", index, node.name()), " (", cut(node.op_type()), ")");
}

std::string label(const FunctionProto& function) {
  const std::string domain = domain_of(function.domain());
  return absl::StrCat("function ", cut(domain), domain.empty() ? "" : ".", cut(function.name()));
}

std::string label(const onnx_proto::AttributeProto& attribute) { return cut(attribute.name()); }

absl::StatusOr<Opsets> opsets_of(
    const google::protobuf::RepeatedPtrField<onnx_proto::OperatorSetIdProto>& imports) {
  Opsets result;
  for (const auto& import : imports) {
    const std::string domain = domain_of(import.domain());
    if (import.version() < 1) {
      return absl::InvalidArgumentError(absl::StrCat("opset_import of ", shown_domain(domain),
                                                     " has version ", import.version()));
    }
    if (domain.empty() && import.version() > kNewestOpset) {
      return absl::UnimplementedError(absl::StrCat("it needs operator set ", import.version(),
                                                   " of ai.onnx; supported are those up to ",
                                                   kNewestOpset));
    }
    if (!result.emplace(domain, import.version()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("opset_import names ", shown_domain(domain), " twice"));
    }
  }
  return result;
}

int version_of(const NodeProto& node, const Opsets& opsets) {
  const auto it = opsets.find(domain_of(node.domain()));
  if (it == opsets.end()) return 0;
  return static_cast<int>(std::min<int64_t>(it->second, std::numeric_limits<int>::max() - 1));
}

Functions::Functions(const onnx_proto::ModelProto& model) {
  for (const FunctionProto& f : model.functions()) {
    by_name_.try_emplace(Key(domain_of(f.domain()), f.name(), f.overload()), &f);
  }
}

const FunctionProto* Functions::find(const NodeProto& node) const {
  if (by_name_.empty()) return nullptr;
  const auto it = by_name_.find(Key(domain_of(node.domain()), node.op_type(), node.overload()));
  return it == by_name_.end() ? nullptr : it->second;
}

}  // namespace modellib::onnx
