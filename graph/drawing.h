// Graphs as pictures: Graphviz's DOT language. Nodes stand in boxes by scope, regions in boxes
// below the node that holds them; edges carry the types of values.
#ifndef MODELLIB_GRAPH_DRAWING_H_
#define MODELLIB_GRAPH_DRAWING_H_

#include <string>

#include "modellib/graph/graph.h"
#include "modellib/graph/program.h"

namespace modellib {

struct DrawingOptions {
  bool types = true;      // on edges
  bool constants = true;  // false: small graphs of what is computed alone
};

// "digraph ...", for `dot -Tsvg`.
std::string draw_dot(const Graph& graph, const DrawingOptions& options = {});
// The entries below each other.
std::string draw_dot(const Program& program, const DrawingOptions& options = {});

}  // namespace modellib

#endif  // MODELLIB_GRAPH_DRAWING_H_
