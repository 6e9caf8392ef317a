// The cheapest way to split the nodes of a network into two sides (Ford and Fulkerson, 1956; the
// flow is found as in Dinic, 1970).
#ifndef MODELLIB_PASSES_MIN_CUT_H_
#define MODELLIB_PASSES_MIN_CUT_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace modellib {

class MinCut {
 public:
  static constexpr int64_t kInfinite = std::numeric_limits<int64_t>::max() / 4;

  MinCut();
  int source() const { return 0; }
  int sink() const { return 1; }
  int add_node();
  // Costs `cost` >= 0 if `from` is on the source's side and `to` on the sink's.
  void add_edge(int from, int to, int64_t cost);

  // For each node, whether it is on the source's side of a cheapest cut: of the one with the fewest
  // nodes there. May be called once.
  std::vector<bool> source_side();

 private:
  struct Edge {
    int to;
    int64_t room;
  };
  bool find_levels();
  int64_t push(int node, int64_t flow);

  std::vector<Edge> edges_;             // an edge and its reverse lie side by side
  std::vector<std::vector<int>> from_;  // by node: edges
  std::vector<int> level_;
  std::vector<size_t> next_;
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_MIN_CUT_H_
