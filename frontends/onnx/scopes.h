// Names of ONNX values and what they stand for.
//
// A subgraph sees the names of the graphs around it, a function's body only its own. A scope
// belongs to a graph builder: that of the whole graph, or of a region (a branch, a loop's body).
#ifndef MODELLIB_FRONTENDS_ONNX_SCOPES_H_
#define MODELLIB_FRONTENDS_ONNX_SCOPES_H_

#include <map>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "modellib/frontends/onnx/contents.h"
#include "modellib/frontends/onnx/item.h"
#include "modellib/frontends/onnx/node_view.h"
#include "modellib/graph/builder.h"

namespace modellib::onnx {

// Versions of operator sets by domain; "" is ai.onnx.
using Opsets = std::map<std::string, int64_t>;

class Scope {
 public:
  // `parent` may be null. `place`: where its nodes stand in the model, "" for the main graph's.
  Scope(GraphBuilder& builder, Scope* parent, const Opsets& opsets,
        const NodeView::CallAttributes* call, std::string place)
      : builder_(builder),
        parent_(parent),
        opsets_(opsets),
        call_(call),
        place_(std::move(place)) {}

  GraphBuilder& builder() const { return builder_; }
  const Opsets& opsets() const { return opsets_; }
  const NodeView::CallAttributes* call() const { return call_; }
  // "node #3 'If_i' (If) / then_branch / node #0 'Concat_r' (Concat)"; cut in the middle if long.
  std::string place_of(absl::string_view part) const;

  // False if this scope has the name already.
  bool define(const std::string& name, Item item);
  // The item for use in this scope's builder; a value from around a region is captured, a
  // constant from there is made again, so that it is one inside too. Null pointer: no such name.
  const Item* find(const std::string& name, Contents& contents);

 private:
  Value inside(const Value& outer, Contents& contents);

  GraphBuilder& builder_;
  Scope* const parent_;
  const Opsets& opsets_;
  const NodeView::CallAttributes* const call_;
  const std::string place_;
  absl::flat_hash_map<std::string, Item> items_;
  absl::flat_hash_map<std::string, Item> from_around_;
};

}  // namespace modellib::onnx

#endif  // MODELLIB_FRONTENDS_ONNX_SCOPES_H_
