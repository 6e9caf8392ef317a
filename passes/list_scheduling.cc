#include "modellib/passes/list_scheduling.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

namespace modellib {
namespace {

constexpr int kCandidates = 12;  // ready nodes that look-ahead considers
constexpr int kDepth = 4;        // nodes of a chain that it follows
constexpr int kBreadth = 8;      // successors that it compares at each of them

// Smaller is better. The last element is the node, so keys are distinct.
using Key = std::array<int64_t, 4>;

class ListScheduler {
 public:
  ListScheduler(const TouchGraph& graph, ListRule rule)
      : graph_(graph),
        rule_(rule),
        live_(graph),
        waiting_(graph.nodes),
        key_(graph.nodes),
        enabled_(graph.nodes, -1) {}

  std::vector<int> run() {
    std::vector<int> order;
    order.reserve(graph_.nodes);
    for (int n = 0; n < graph_.nodes; ++n) {
      waiting_[n] = static_cast<int>(graph_.predecessors[n].size());
    }
    for (int n = graph_.nodes - 1; n >= 0; --n) {
      if (waiting_[n] == 0) enable(n);
    }
    while (!ready_.empty()) {
      const int node = pick();
      ready_.erase(key_[node]);
      enabled_[node] = -1;
      order.push_back(node);
      execute(node);
    }
    return order;
  }

 private:
  Key make_key(int node) const {
    const Effect e = live_.effect(node);
    const int64_t recency = -enabled_[node];
    switch (rule_) {
      case ListRule::kDepthFirst:
        return {e.net <= 0 ? 0 : 1, e.net <= 0 ? e.peak : recency, e.net, node};
      case ListRule::kLeastRise:
        return {e.net <= 0 ? 0 : 1, e.peak, recency, node};
      case ListRule::kLeastNet:
      case ListRule::kLookAhead:
        break;
    }
    return {e.net, recency, e.peak, node};
  }

  void enable(int node) {
    enabled_[node] = ++clock_;
    key_[node] = make_key(node);
    ready_.insert(key_[node]);
  }

  // A node's key changes when a storage that it touches comes to life or has it as last toucher.
  void refresh(int storage) {
    for (int node : graph_.touched_by[storage]) {
      if (enabled_[node] < 0) continue;
      const Key key = make_key(node);
      if (key == key_[node]) continue;
      ready_.erase(key_[node]);
      key_[node] = key;
      ready_.insert(key);
    }
  }

  void execute(int node) {
    born_.clear();
    for (int s : graph_.touches[node]) {
      if (!live_.live(s)) born_.push_back(s);
    }
    live_.run(node);
    for (int s : born_) refresh(s);
    for (int s : graph_.touches[node]) {
      if (live_.pending(s) == 1) refresh(s);
    }
    // Backwards, so that among equals the smallest index became ready last.
    const std::vector<int>& next = graph_.successors[node];
    for (auto it = next.rbegin(); it != next.rend(); ++it) {
      if (--waiting_[*it] == 0) enable(*it);
    }
  }

  int pick() {
    const int top = static_cast<int>((*ready_.begin())[3]);
    if (rule_ != ListRule::kLookAhead || ready_.size() == 1 || (*ready_.begin())[0] <= 0)
      return top;
    int best = top;
    std::array<int64_t, 4> best_score = {};
    int seen = 0;
    for (const Key& key : ready_) {
      if (seen == kCandidates) break;
      const int node = static_cast<int>(key[3]);
      const std::array<int64_t, 4> score = probe(node);
      if (seen++ == 0 || score < best_score) {
        best = node;
        best_score = score;
      }
    }
    return best;
  }

  // Runs a node and, as long as it helps, the best of those that become ready by that; then undoes
  // it all. A chain that ends below its start comes first, by least hill; of those that end above,
  // the one with the largest hill above its end (Liu's rule for merging sequences, "An application
  // of generalized tree pebbling", 1987).
  std::array<int64_t, 4> probe(int node) {
    const int64_t before = live_.live_bytes();
    changes_.clear();
    chain_.clear();
    int64_t hill = 0;
    int64_t valley = 0;
    for (int depth = 0; depth < kDepth && node >= 0; ++depth) {
      hill = std::max(hill, live_.run(node, &changes_) - before);
      chain_.push_back(node);
      const int64_t now = live_.live_bytes() - before;
      valley = depth == 0 ? now : std::min(valley, now);
      if (valley <= 0) break;
      int next = -1;
      int64_t next_net = 0;
      int seen = 0;
      for (int s : graph_.successors[node]) {
        if (--waiting_[s] > 0 || seen++ >= kBreadth) continue;
        const int64_t net = live_.effect(s).net;
        if (next < 0 || net < next_net) {
          next = s;
          next_net = net;
        }
      }
      node = next;
    }
    // `node` stands for a successor that was seen but not run if the chain reached its depth.
    for (int done : chain_) {
      if (valley <= 0 && done == chain_.back()) break;  // it left before counting its successors
      for (int s : graph_.successors[done]) ++waiting_[s];
    }
    live_.undo(&changes_, before);
    if (valley <= 0) return {0, hill, valley, chain_.front()};
    return {1, valley, valley - hill, -enabled_[chain_.front()]};
  }

  const TouchGraph& graph_;
  const ListRule rule_;
  LiveBytes live_;
  std::vector<int> waiting_;      // predecessors to come
  std::vector<Key> key_;          // of ready nodes, as it stands in ready_
  std::vector<int64_t> enabled_;  // when it became ready, or -1
  std::set<Key> ready_;
  std::vector<int> born_, chain_;
  std::vector<LiveBytes::Change> changes_;
  int64_t clock_ = 0;
};

}  // namespace

std::vector<int> list_order(const TouchGraph& graph, ListRule rule) {
  return ListScheduler(graph, rule).run();
}

std::vector<int> depth_first_order(const TouchGraph& graph, bool descending, bool large_first) {
  std::vector<int64_t> result_bytes(graph.nodes, 0);
  if (large_first) {
    for (int n = 0; n < graph.nodes; ++n) {
      for (int s : graph.touches[n]) result_bytes[n] += graph.size[s];
    }
  }
  std::vector<std::vector<int>> sources = graph.predecessors;
  for (std::vector<int>& list : sources) {
    std::sort(list.begin(), list.end(), [&](int a, int b) {
      if (result_bytes[a] != result_bytes[b]) return result_bytes[a] > result_bytes[b];
      return descending ? a > b : a < b;
    });
  }
  std::vector<int> sinks;
  for (int n = 0; n < graph.nodes; ++n) {
    if (graph.successors[n].empty()) sinks.push_back(n);
  }
  if (descending) std::reverse(sinks.begin(), sinks.end());

  std::vector<int> order;
  order.reserve(graph.nodes);
  std::vector<char> seen(graph.nodes, 0);
  std::vector<std::pair<int, size_t>> stack;
  for (int sink : sinks) {
    stack.push_back({sink, 0});
    seen[sink] = 1;
    while (!stack.empty()) {
      const int node = stack.back().first;
      if (stack.back().second == sources[node].size()) {
        order.push_back(node);
        stack.pop_back();
        continue;
      }
      const int next = sources[node][stack.back().second++];
      if (!seen[next]) {
        seen[next] = 1;
        stack.push_back({next, 0});
      }
    }
  }
  return order;
}

namespace {

// Moves a set of nodes across the position of the peak, keeping order among both moved and others.
class PeakMover {
 public:
  PeakMover(const TouchGraph& graph, std::vector<int>* order)
      : graph_(graph), order_(*order), position_(graph.nodes), mark_(graph.nodes, 0) {}

  void improve(int64_t work) {
    int64_t visits = 0;
    for (const auto& t : graph_.touches) visits += static_cast<int64_t>(t.size()) + 1;
    cost_ = order_cost(graph_, order_);
    for (int64_t tries = work / (visits + 1); tries > 0;) {
      if (!round(&tries)) return;
    }
  }

 private:
  static constexpr size_t kStorages = 24;  // idle storages to try at a peak
  static constexpr size_t kMoved = 48;     // nodes to move at once

  // Storages that are live at the peak though its node doesn't touch them, largest first.
  std::vector<int> idle_at_peak() {
    LiveBytes live(graph_);
    for (int i = 0; i <= cost_.position; ++i) live.run(order_[i]);
    std::vector<char> touched(graph_.size.size(), 0);
    for (int s : graph_.touches[order_[cost_.position]]) touched[s] = 1;
    std::vector<int> idle;
    for (size_t s = 0; s < graph_.size.size(); ++s) {
      if (live.live(static_cast<int>(s)) && !touched[s]) idle.push_back(static_cast<int>(s));
    }
    std::stable_sort(idle.begin(), idle.end(),
                     [&](int a, int b) { return graph_.size[a] > graph_.size[b]; });
    if (idle.size() > kStorages) idle.resize(kStorages);
    return idle;
  }

  // The storage's touchers on one side of the peak and all that must move with them, or nothing.
  bool closure(int storage, bool after) {
    moved_.clear();
    const int peak = cost_.position;
    bool possible = true;
    const auto add = [&](int node) {
      const bool beyond = after ? position_[node] >= peak : position_[node] <= peak;
      if (!beyond || mark_[node]) return;
      if (position_[node] == peak) possible = false;
      mark_[node] = 1;
      moved_.push_back(node);
    };
    for (int node : graph_.touched_by[storage]) add(node);
    for (size_t i = 0; i < moved_.size() && possible && moved_.size() <= kMoved; ++i) {
      const auto& next = after ? graph_.predecessors[moved_[i]] : graph_.successors[moved_[i]];
      for (int node : next) add(node);
    }
    if (moved_.size() > kMoved || moved_.empty()) possible = false;
    if (!possible) unmark();
    return possible;
  }
  void unmark() {
    for (int node : moved_) mark_[node] = 0;
  }

  // Tries to bring an idle storage's end before the peak, or its start behind it.
  bool round(int64_t* tries) {
    for (int i = 0; i < graph_.nodes; ++i) position_[order_[i]] = i;
    const int peak = cost_.position;
    for (int storage : idle_at_peak()) {
      for (bool after : {true, false}) {
        if (after && graph_.at_exit[storage]) continue;
        if (!after && graph_.at_entry[storage]) continue;
        if (!closure(storage, after)) continue;
        trial_.clear();
        for (int i = 0; i < peak; ++i) {
          if (!mark_[order_[i]]) trial_.push_back(order_[i]);
        }
        if (!after) trial_.push_back(order_[peak]);
        std::sort(moved_.begin(), moved_.end(),
                  [&](int a, int b) { return position_[a] < position_[b]; });
        trial_.insert(trial_.end(), moved_.begin(), moved_.end());
        if (after) trial_.push_back(order_[peak]);
        for (int i = peak + 1; i < graph_.nodes; ++i) {
          if (!mark_[order_[i]]) trial_.push_back(order_[i]);
        }
        unmark();
        const OrderCost cost = order_cost(graph_, trial_);
        if (cost < cost_) {
          cost_ = cost;
          order_.swap(trial_);
          return true;
        }
        if (--*tries <= 0) return false;
      }
    }
    return false;
  }

  const TouchGraph& graph_;
  std::vector<int>& order_;
  std::vector<int> position_;
  std::vector<char> mark_;
  std::vector<int> moved_, trial_;
  OrderCost cost_;
};

}  // namespace

void improve_order(const TouchGraph& graph, int64_t work, std::vector<int>* order) {
  if (graph.nodes > 0) PeakMover(graph, order).improve(work);
}

void stagger(const TouchGraph& graph, const std::vector<char>& marked, std::vector<int>* order) {
  // By node: how many marked nodes stand in the order up to the last one that it depends on.
  std::vector<int> depth(graph.nodes, 0);
  int issued = 0;
  for (int node : *order) {
    for (int before : graph.predecessors[node]) depth[node] = std::max(depth[node], depth[before]);
    if (marked[node]) depth[node] = ++issued;
  }
  std::vector<int> result, pending;
  std::vector<char> is_pending(graph.nodes, 0);
  const auto release = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) is_pending[pending[i]] = 0;
    result.insert(result.end(), pending.begin(), pending.begin() + static_cast<int64_t>(count));
    pending.erase(pending.begin(), pending.begin() + static_cast<int64_t>(count));
  };
  int seen = 0;
  for (int node : *order) {
    if (!marked[node] && depth[node] > 0 && depth[node] == seen) {
      is_pending[node] = 1;
      pending.push_back(node);
      continue;
    }
    // What it needs of those that were put off comes first.
    for (size_t i = pending.size(); i-- > 0;) {
      const std::vector<int>& next = graph.successors[pending[i]];
      if (!std::binary_search(next.begin(), next.end(), node)) continue;
      release(i + 1);
      break;
    }
    result.push_back(node);
    if (!marked[node]) continue;
    ++seen;
    release(pending.size());
  }
  release(pending.size());
  *order = std::move(result);
}

void hoist(const TouchGraph& graph, const std::vector<char>& marked, int64_t work,
           std::vector<int>* order) {
  const int64_t peak = order_cost(graph, *order).peak;
  // Rebuilds the order with the nodes of `early` issued as soon as their predecessors are.
  const auto rebuild = [&](const std::vector<char>& early) {
    std::vector<int> waiting(graph.nodes), result, stack;
    std::vector<char> done(graph.nodes, 0);
    for (int n = 0; n < graph.nodes; ++n) {
      waiting[n] = static_cast<int>(graph.predecessors[n].size());
    }
    const auto issue = [&](int node) {
      stack.assign(1, node);
      while (!stack.empty()) {
        const int n = stack.back();
        stack.pop_back();
        if (done[n]) continue;
        done[n] = 1;
        result.push_back(n);
        const std::vector<int>& next = graph.successors[n];
        for (auto it = next.rbegin(); it != next.rend(); ++it) {
          if (--waiting[*it] == 0 && early[*it]) stack.push_back(*it);
        }
      }
    };
    for (int n = 0; n < graph.nodes; ++n) {
      if (waiting[n] == 0 && early[n]) issue(n);
    }
    for (int node : *order) {
      if (!done[node]) issue(node);
    }
    return result;
  };

  std::vector<int> all = rebuild(marked);
  if (order_cost(graph, all).peak <= peak) {
    *order = std::move(all);
    return;
  }
  int64_t visits = 1;
  for (const auto& t : graph.touches) visits += static_cast<int64_t>(t.size()) + 1;
  std::vector<char> early(graph.nodes, 0);
  std::vector<int> candidates;
  for (int node : *order) {
    if (marked[node]) candidates.push_back(node);
  }
  int64_t tries = work / visits;
  std::vector<int> best = *order;
  for (int node : candidates) {
    if (--tries < 0) break;
    early[node] = 1;
    std::vector<int> trial = rebuild(early);
    if (order_cost(graph, trial).peak <= peak) {
      best = std::move(trial);
    } else {
      early[node] = 0;
    }
  }
  *order = std::move(best);
}

}  // namespace modellib
