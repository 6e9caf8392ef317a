// A program: the unit that is compiled. Named entries (train, eval, decode, …) over one table of
// variables; entries that name the same variable mean the same storage.
#ifndef MODELLIB_GRAPH_PROGRAM_H_
#define MODELLIB_GRAPH_PROGRAM_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/graph.h"

namespace modellib {

struct Program {
  struct Entry {
    std::string name;
    GraphRef graph;
  };
  std::vector<Entry> entries;

  // Null if there is none.
  const Graph* find(absl::string_view entry) const;
  // Every variable of any entry, once, in the order of first use.
  std::vector<VariableRef> variables() const;
  // InvalidArgument: two entries of one name, or a variable with two definitions.
  absl::Status verify() const;
};

// The entry that gives variables their first content, when a store is made: it takes `seed: i64[]`.
inline constexpr absl::string_view kInitializeEntry = "initialize";

}  // namespace modellib

#endif  // MODELLIB_GRAPH_PROGRAM_H_
