#include "modellib/passes/pointwise_count.h"

#include "modellib/graph/op_def.h"
#include "modellib/ops/conv_epilogue.h"
#include "modellib/ops/fused.h"
#include "modellib/ops/matmul_epilogue.h"
#include "modellib/passes/regions.h"

namespace modellib {
namespace {

// Operands 2 and 3 are bias and residual.
int64_t epilogue_ops(const Graph::Node& node, const std::string& activation) {
  int64_t count = activation == "none" ? 0 : 1;
  for (size_t i = 2; i < node.inputs.size(); ++i) count += node.inputs[i] == kNoValue ? 0 : 1;
  return count;
}

}  // namespace

PointwiseCount count_pointwise(const Graph& graph) {
  PointwiseCount count;
  for (const Graph::Node& node : graph.nodes()) {
    const Attributes& a = node.attributes;
    if (a.is<MatmulEpilogueAttributes>()) {
      count.in_epilogues += epilogue_ops(node, a.as<MatmulEpilogueAttributes>().activation);
    } else if (a.is<ConvEpilogueAttributes>()) {
      count.in_epilogues += epilogue_ops(node, a.as<ConvEpilogueAttributes>().activation);
    } else if (a.is<FusedAttributes>()) {
      for (const Graph::Node& inner : a.as<FusedAttributes>().region->nodes()) {
        count.in_regions += inner.op->pointwise ? 1 : 0;
      }
    } else if (node.op->pointwise) {
      ++count.outside;
    }
    for (const GraphRef& region : control_regions(node)) {
      const PointwiseCount inner = count_pointwise(*region);
      count.in_regions += inner.in_regions;
      count.in_epilogues += inner.in_epilogues;
      count.outside += inner.outside;
    }
  }
  return count;
}

}  // namespace modellib
