#include "modellib/passes/min_cut.h"

#include <algorithm>

namespace modellib {

MinCut::MinCut() : from_(2) {}

int MinCut::add_node() {
  from_.emplace_back();
  return static_cast<int>(from_.size()) - 1;
}

void MinCut::add_edge(int from, int to, int64_t cost) {
  from_[static_cast<size_t>(from)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({to, std::min(cost, kInfinite)});
  from_[static_cast<size_t>(to)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({from, 0});
}

// Distances from the source over edges with room; false if the sink cannot be reached.
bool MinCut::find_levels() {
  level_.assign(from_.size(), -1);
  std::vector<int> queue = {source()};
  level_[0] = 0;
  for (size_t i = 0; i < queue.size(); ++i) {
    const auto node = static_cast<size_t>(queue[i]);
    for (const int e : from_[node]) {
      const Edge& edge = edges_[static_cast<size_t>(e)];
      if (edge.room == 0 || level_[static_cast<size_t>(edge.to)] >= 0) continue;
      level_[static_cast<size_t>(edge.to)] = level_[node] + 1;
      queue.push_back(edge.to);
    }
  }
  return level_[static_cast<size_t>(sink())] >= 0;
}

// One path from the source to the sink, one level further with each step; its flow, 0 if there is
// none. The path is kept on a stack of its own: chains of a thousand nodes are common.
int64_t MinCut::push(int node, int64_t flow) {
  std::vector<int> path;
  while (node != sink()) {
    const auto at = static_cast<size_t>(node);
    size_t& i = next_[at];
    while (i < from_[at].size()) {
      const Edge& edge = edges_[static_cast<size_t>(from_[at][i])];
      if (edge.room > 0 && level_[static_cast<size_t>(edge.to)] == level_[at] + 1) break;
      ++i;
    }
    if (i < from_[at].size()) {
      path.push_back(from_[at][i]);
      node = edges_[static_cast<size_t>(path.back())].to;
      continue;
    }
    if (path.empty()) return 0;
    // A dead end: one step back.
    node = edges_[static_cast<size_t>(path.back() ^ 1)].to;
    path.pop_back();
    ++next_[static_cast<size_t>(node)];
  }
  for (const int e : path) flow = std::min(flow, edges_[static_cast<size_t>(e)].room);
  for (const int e : path) {
    edges_[static_cast<size_t>(e)].room -= flow;
    edges_[static_cast<size_t>(e ^ 1)].room += flow;
  }
  return flow;
}

std::vector<bool> MinCut::source_side() {
  while (find_levels()) {
    next_.assign(from_.size(), 0);
    while (push(source(), kInfinite) > 0) {
    }
  }
  std::vector<bool> side(from_.size());
  for (size_t i = 0; i < side.size(); ++i) side[i] = level_[i] >= 0;
  return side;
}

}  // namespace modellib
