// A graph from its parts, for what reads graphs from files (the parser of the text form, the reader
// of native models) and for what changes nothing but names or outputs. Model code and passes use
// GraphBuilder, which infers types and merges equal nodes; here everything is taken as it is given,
// checked, and frozen.
#ifndef MODELLIB_GRAPH_ASSEMBLE_H_
#define MODELLIB_GRAPH_ASSEMBLE_H_

#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/graph.h"

namespace modellib {

// As the accessors of Graph give them.
struct GraphParts {
  std::string name;
  std::vector<Graph::Node> nodes;
  std::deque<Graph::ValueInfo> values;
  std::vector<ValueId> inputs;
  std::vector<Graph::VariableUse> variables;
  std::vector<Graph::Output> outputs;
  std::vector<std::string> scopes = {""};
  std::vector<Graph::Constraint> constraints;
  DimRanges ranges;
};

// The parts may come from anywhere: whatever breaks a rule of the IR (graph/verifier.h) is an
// error.
absl::StatusOr<GraphRef> assemble(GraphParts parts);

// The parts of a graph, to make another of them.
GraphParts disassemble(const Graph& graph);

}  // namespace modellib

#endif  // MODELLIB_GRAPH_ASSEMBLE_H_
