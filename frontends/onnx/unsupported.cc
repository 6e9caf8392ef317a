#include "modellib/frontends/onnx/unsupported.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/frontends/onnx/op_table.h"

namespace modellib::onnx {
namespace {

using google::protobuf::MessageLite;
using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

class Listing {
 public:
  Listing(const Unsupported& found, const Functions& functions)
      : found_(found), functions_(functions) {}

  absl::Status run(const GraphProto& graph, const Opsets& opsets) {
    add_graph(graph, "", opsets);
    // Functions that are called add others; each is looked at once.
    for (size_t i = 0; i < called_.size(); ++i) {
      const FunctionProto& function = *called_[i];
      // If it has no operator sets that can be used, the import has said so of the call.
      const auto own = opsets_of(function.opset_import());
      if (own.ok()) add_nodes(function.node(), absl::StrCat(label(function), " / "), *own);
    }
    return message();
  }

 private:
  void add_graph(const GraphProto& graph, const std::string& path, const Opsets& opsets) {
    if (found_.is_left_out(graph)) return;
    for (int i = 0; i < graph.input_size(); ++i) {
      add_part(graph.input(i), path, "input", i, graph.input(i).name());
    }
    for (int i = 0; i < graph.initializer_size(); ++i) {
      add_part(graph.initializer(i), path, "initializer", i, graph.initializer(i).name());
    }
    for (int i = 0; i < graph.sparse_initializer_size(); ++i) {
      add_part(graph.sparse_initializer(i), path, "sparse initializer", i,
               graph.sparse_initializer(i).values().name());
    }
    add_nodes(graph.node(), path, opsets);
  }

  void add_part(const MessageLite& part, const std::string& path, absl::string_view what, int index,
                absl::string_view name) {
    ++parts_;
    const std::string* why = found_.why(part);
    if (why == nullptr) return;
    ++bad_parts_;
    add_line(absl::StrCat(path, label(what, index, name), ": ", *why), what);
  }

  void add_nodes(const google::protobuf::RepeatedPtrField<NodeProto>& nodes,
                 const std::string& path, const Opsets& opsets) {
    for (int i = 0; i < nodes.size(); ++i) {
      const NodeProto& node = nodes.Get(i);
      ++nodes_;
      add_node(node, i, path, opsets);
      for (const auto& attribute : node.attribute()) {
        if (!attribute.has_g() && attribute.graphs().empty()) continue;
        const std::string inside =
            absl::StrCat(path, label(i, node), " / ", label(attribute), " / ");
        if (attribute.has_g()) add_graph(attribute.g(), inside, opsets);
        for (const GraphProto& graph : attribute.graphs()) add_graph(graph, inside, opsets);
      }
    }
  }

  void add_node(const NodeProto& node, int index, const std::string& path, const Opsets& opsets) {
    const FunctionProto* function = functions_.find(node);
    if (function != nullptr && seen_.insert(function).second) called_.push_back(function);
    const std::string* why = found_.why(node);
    const std::string domain = domain_of(node.domain());
    const int version = version_of(node, opsets);
    const bool known = function != nullptr || find_op(domain, node.op_type(), version) != nullptr;
    if (known && why == nullptr) return;
    ++bad_nodes_;
    const std::string where = absl::StrCat(path, label(index, node));
    const std::string what = absl::StrCat(shown_op(node), ", opset ", version);
    if (why != nullptr && !why->empty()) {
      add_line(absl::StrCat(where, ": ", what, ": ", *why), what);
      return;
    }
    const std::string nearest = nearest_op(domain, node.op_type());
    add_line(absl::StrCat(where, ": ", what, "; nearest: ", nearest.empty() ? "none" : nearest),
             what);
  }

  void add_line(std::string line, absl::string_view kind) {
    constexpr size_t kMostBytes = 1 << 20;
    constexpr size_t kMostKinds = 1000;
    bytes_ += line.size();
    if (lines_.empty() || (rest_ == 0 && bytes_ <= kMostBytes)) {
      lines_.push_back(std::move(line));
      return;
    }
    ++rest_;
    const std::string key(kind);
    if (kinds_.contains(key) || kinds_.size() < kMostKinds) ++kinds_[key];
  }

  absl::Status message() const {
    std::vector<std::string> counts;
    if (bad_parts_ > 0) {
      counts.push_back(absl::StrCat(bad_parts_, " of ", parts_, " inputs and initializers"));
    }
    if (bad_nodes_ > 0) counts.push_back(absl::StrCat(bad_nodes_, " of ", nodes_, " nodes"));
    std::string out = absl::StrCat(absl::StrJoin(counts, " and "), " are not supported:\n  ",
                                   absl::StrJoin(lines_, "\n  "));
    if (rest_ > 0) {
      absl::StrAppend(&out, "\n  and ", rest_, " more: ",
                      absl::StrJoin(kinds_, "; ", [](std::string* text, const auto& kind) {
                        absl::StrAppend(text, kind.second, " of ", kind.first);
                      }));
    }
    return absl::UnimplementedError(out);
  }

  const Unsupported& found_;
  const Functions& functions_;
  std::vector<const FunctionProto*> called_;
  absl::flat_hash_set<const FunctionProto*> seen_;
  std::vector<std::string> lines_;
  size_t bytes_ = 0, rest_ = 0;
  std::map<std::string, size_t> kinds_;  // of the rest
  int64_t parts_ = 0, bad_parts_ = 0, nodes_ = 0, bad_nodes_ = 0;
};

}  // namespace

void Unsupported::add(const MessageLite& part, absl::string_view why) {
  why_.try_emplace(&part, std::string(why));
}

bool Unsupported::is_left_out(const GraphProto& branch) const {
  return left_out_.contains(&branch) && !entered_.contains(&branch);
}

const std::string* Unsupported::why(const MessageLite& part) const {
  const auto it = why_.find(&part);
  return it == why_.end() ? nullptr : &it->second;
}

absl::Status Unsupported::listed(const onnx_proto::ModelProto& model, const Functions& functions,
                                 const Opsets& opsets) const {
  return Listing(*this, functions).run(model.graph(), opsets);
}

}  // namespace modellib::onnx
