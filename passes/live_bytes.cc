#include "modellib/passes/live_bytes.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/formats/plan_limits.h"

namespace modellib {
namespace {

void sort_unique(std::vector<int>* v) {
  std::sort(v->begin(), v->end());
  v->erase(std::unique(v->begin(), v->end()), v->end());
}

std::string describe(const ScheduleProblem& problem, int buffer) {
  const std::string& name = problem.buffers[buffer].name;
  return name.empty() ? absl::StrCat("buffer ", buffer)
                      : absl::StrCat("buffer ", buffer, " '", name, "'");
}

absl::Status check(const ScheduleProblem& problem) {
  const int nodes = static_cast<int>(problem.nodes.size());
  const int buffers = static_cast<int>(problem.buffers.size());
  constexpr auto kMax = static_cast<int64_t>(kMaxPlanBytes);
  int64_t total = 0;
  for (int n = 0; n < nodes; ++n) {
    const int64_t bytes = problem.nodes[n].workspace;
    if (bytes < 0 || bytes > kMax - total) {
      return absl::InvalidArgumentError(
          absl::StrCat("node ", n, ": workspace of ", bytes, " bytes is negative or too large"));
    }
    total += bytes;
  }
  for (int b = 0; b < buffers; ++b) {
    const ScheduleBuffer& buffer = problem.buffers[b];
    if (buffer.size < 0 || buffer.size > kMax - total) {
      return absl::InvalidArgumentError(absl::StrCat(
          describe(problem, b), ": size of ", buffer.size, " bytes is negative or too large"));
    }
    total += buffer.size;
    const auto outside = [](int value, int end) { return value < -1 || value >= end; };
    if (outside(buffer.producer, nodes)) {
      return absl::InvalidArgumentError(absl::StrCat(describe(problem, b), ": producer ",
                                                     buffer.producer, " of ", nodes, " nodes"));
    }
    for (int node : buffer.consumers) {
      if (node < 0 || node >= nodes) {
        return absl::InvalidArgumentError(
            absl::StrCat(describe(problem, b), ": consumer ", node, " of ", nodes, " nodes"));
      }
    }
    if (outside(buffer.alias_of, buffers) || outside(buffer.in_place_of, buffers)) {
      return absl::InvalidArgumentError(
          absl::StrCat(describe(problem, b), ": alias of ", buffer.alias_of, ", in place of ",
                       buffer.in_place_of, ", but there are ", buffers, " buffers"));
    }
  }
  for (const auto& [before, after] : problem.edges) {
    if (before < 0 || before >= nodes || after < 0 || after >= nodes) {
      return absl::InvalidArgumentError(
          absl::StrCat("edge ", before, " -> ", after, ": there are ", nodes, " nodes"));
    }
  }
  return absl::OkStatus();
}

// The buffer at the end of each chain of aliases.
absl::StatusOr<std::vector<int>> alias_roots(const ScheduleProblem& problem) {
  const int n = static_cast<int>(problem.buffers.size());
  std::vector<int> root(n, -1);
  std::vector<int> path;
  for (int b = 0; b < n; ++b) {
    path.clear();
    int at = b;
    while (root[at] < 0 && problem.buffers[at].alias_of >= 0) {
      if (static_cast<int>(path.size()) == n) {
        return absl::InvalidArgumentError(
            absl::StrCat(describe(problem, b), ": its chain of aliases is a cycle"));
      }
      path.push_back(at);
      at = problem.buffers[at].alias_of;
    }
    if (root[at] < 0) root[at] = at;
    for (int p : path) root[p] = root[at];
  }
  return root;
}

}  // namespace

absl::StatusOr<TouchGraph> TouchGraph::make(const ScheduleProblem& problem) {
  absl::Status status = check(problem);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<int>> roots = alias_roots(problem);
  if (!roots.ok()) return roots.status();

  TouchGraph g;
  g.nodes = static_cast<int>(problem.nodes.size());
  g.successors.resize(g.nodes);
  g.predecessors.resize(g.nodes);
  g.touches.resize(g.nodes);
  g.in_place.resize(g.nodes);
  for (const ScheduleNode& node : problem.nodes) g.workspace.push_back(node.workspace);

  const int buffers = static_cast<int>(problem.buffers.size());
  std::vector<char> persistent(buffers, 0);  // by root
  for (int b = 0; b < buffers; ++b) persistent[(*roots)[b]] |= problem.buffers[b].persistent;
  std::vector<int> storage_of_root(buffers, -1);
  g.storage.assign(buffers, -1);
  for (int b = 0; b < buffers; ++b) {
    const int root = (*roots)[b];
    if (persistent[root]) continue;
    if (storage_of_root[root] < 0) {
      storage_of_root[root] = static_cast<int>(g.size.size());
      g.size.push_back(0);
    }
    const int s = g.storage[b] = storage_of_root[root];
    g.size[s] = std::max(g.size[s], problem.buffers[b].size);
  }
  g.touched_by.resize(g.size.size());
  g.at_entry.assign(g.size.size(), 0);
  g.at_exit.assign(g.size.size(), 0);
  // A concatenation whose parts are computed in it has no producer of its own.
  std::vector<char> is_produced(g.size.size(), 0);
  for (int b = 0; b < buffers; ++b) {
    if (g.storage[b] >= 0 && problem.buffers[b].producer >= 0) is_produced[g.storage[b]] = 1;
  }

  for (int b = 0; b < buffers; ++b) {
    const ScheduleBuffer& buffer = problem.buffers[b];
    const int s = g.storage[b];
    if (s >= 0) {
      // An alias without producer is a view: it is there when its target is.
      if (!is_produced[s] && buffer.alias_of < 0) g.at_entry[s] = 1;
      if (buffer.output) g.at_exit[s] = 1;
    }
    const auto touch = [&](int node) {
      if (s < 0) return;
      g.touches[node].push_back(s);
      g.touched_by[s].push_back(node);
    };
    if (buffer.producer >= 0) touch(buffer.producer);
    for (int consumer : buffer.consumers) {
      touch(consumer);
      // A reader of a view waits for who wrote the bytes behind it.
      for (int at = b; at >= 0; at = problem.buffers[at].alias_of) {
        const int producer = problem.buffers[at].producer;
        if (producer < 0) continue;
        if (producer != consumer || at == b) {
          g.successors[producer].push_back(consumer);
          g.predecessors[consumer].push_back(producer);
        }
        break;
      }
    }
  }
  for (const auto& [before, after] : problem.edges) {
    g.successors[before].push_back(after);
    g.predecessors[after].push_back(before);
  }
  for (int n = 0; n < g.nodes; ++n) {
    sort_unique(&g.successors[n]);
    sort_unique(&g.predecessors[n]);
    sort_unique(&g.touches[n]);
  }
  for (size_t s = 0; s < g.size.size(); ++s) {
    sort_unique(&g.touched_by[s]);
    if (g.touched_by[s].empty() && !g.at_exit[s]) g.at_entry[s] = 0;  // nobody wants it
  }

  // In-place permissions that make sense.
  std::vector<std::vector<int>> reads(g.nodes);
  for (int b = 0; b < buffers; ++b) {
    for (int consumer : problem.buffers[b].consumers) reads[consumer].push_back(b);
  }
  for (int b = 0; b < buffers; ++b) {
    const ScheduleBuffer& buffer = problem.buffers[b];
    const int input = buffer.in_place_of;
    if (input < 0 || buffer.producer < 0 || buffer.alias_of >= 0 || g.storage[b] < 0 ||
        g.storage[input] < 0 || g.storage[b] == g.storage[input] ||
        buffer.size > problem.buffers[input].size || g.size[g.storage[b]] > buffer.size) {
      continue;
    }
    bool read = false;
    bool otherwise = false;
    for (int r : reads[buffer.producer]) {
      if (r == input) {
        read = true;
      } else if (g.storage[r] == g.storage[input]) {
        otherwise = true;
      }
    }
    if (read && !otherwise) {
      g.in_place[buffer.producer].push_back({g.storage[b], g.storage[input], b});
    }
  }

  // Kahn's algorithm, smallest index first.
  std::vector<int> waiting(g.nodes);
  std::priority_queue<int, std::vector<int>, std::greater<int>> ready;
  for (int n = 0; n < g.nodes; ++n) {
    waiting[n] = static_cast<int>(g.predecessors[n].size());
    if (waiting[n] == 0) ready.push(n);
  }
  while (!ready.empty()) {
    const int n = ready.top();
    ready.pop();
    g.topological.push_back(n);
    for (int s : g.successors[n]) {
      if (--waiting[s] == 0) ready.push(s);
    }
  }
  if (static_cast<int>(g.topological.size()) != g.nodes) {
    const auto stuck = std::find_if(waiting.begin(), waiting.end(), [](int w) { return w > 0; });
    return absl::InvalidArgumentError(absl::StrCat(
        "the dependencies of node ", stuck - waiting.begin(), " form or follow a cycle"));
  }
  return g;
}

TouchGraph TouchGraph::reversed() const {
  TouchGraph g = *this;
  g.successors.swap(g.predecessors);
  g.at_entry.swap(g.at_exit);
  for (std::vector<InPlace>& pairs : g.in_place) {
    for (InPlace& pair : pairs) std::swap(pair.output, pair.input);
  }
  std::reverse(g.topological.begin(), g.topological.end());
  return g;
}

LiveBytes::LiveBytes(const TouchGraph& graph)
    : graph_(&graph), bytes_(graph.size), live_(graph.at_entry) {
  pending_.reserve(graph.size.size());
  for (size_t s = 0; s < graph.size.size(); ++s) {
    pending_.push_back(static_cast<int>(graph.touched_by[s].size()));
    if (live_[s]) live_bytes_ += bytes_[s];
  }
}

bool LiveBytes::takes_over(int node, const InPlace& pair) const {
  if (live_[pair.output] || !live_[pair.input] || pending_[pair.input] != 1 ||
      graph_->at_exit[pair.input]) {
    return false;
  }
  for (const InPlace& other : graph_->in_place[node]) {
    if (&other == &pair) return true;
    if ((other.input == pair.input || other.output == pair.output) && takes_over(node, other)) {
      return false;
    }
  }
  return true;
}

Effect LiveBytes::effect(int node) const {
  int64_t allocated = 0;
  int64_t freed = 0;
  for (int s : graph_->touches[node]) {
    if (!live_[s]) allocated += bytes_[s];
    if (pending_[s] == 1 && !graph_->at_exit[s]) freed += bytes_[s];
  }
  for (const InPlace& pair : graph_->in_place[node]) {
    if (!takes_over(node, pair)) continue;
    const int64_t shared = std::min(bytes_[pair.output], bytes_[pair.input]);
    allocated -= shared;
    // What is left over of a larger input stays with the output.
    const bool dies = pending_[pair.output] == 1 && !graph_->at_exit[pair.output];
    freed -= dies ? shared : bytes_[pair.input];
  }
  return {allocated + graph_->workspace[node], allocated - freed};
}

int64_t LiveBytes::run(int node, std::vector<Change>* undo) {
  if (undo != nullptr) {
    for (int s : graph_->touches[node]) {
      undo->push_back({s, pending_[s], bytes_[s], live_[s] != 0});
    }
  }
  // Decide all before any changes the state.
  for (const InPlace& pair : graph_->in_place[node]) {
    if (!takes_over(node, pair)) continue;
    live_bytes_ += std::max<int64_t>(0, bytes_[pair.output] - bytes_[pair.input]);
    bytes_[pair.output] = std::max(bytes_[pair.output], bytes_[pair.input]);
    live_[pair.output] = 1;
    live_[pair.input] = 0;
    bytes_[pair.input] = 0;
  }
  for (int s : graph_->touches[node]) {
    if (!live_[s]) {
      live_[s] = 1;
      live_bytes_ += bytes_[s];
    }
  }
  const int64_t during = live_bytes_ + graph_->workspace[node];
  for (int s : graph_->touches[node]) {
    if (--pending_[s] == 0 && !graph_->at_exit[s]) {
      live_[s] = 0;
      live_bytes_ -= bytes_[s];
    }
  }
  return during;
}

void LiveBytes::undo(std::vector<Change>* changes, int64_t live_bytes) {
  for (; !changes->empty(); changes->pop_back()) {
    const Change& change = changes->back();
    pending_[change.storage] = change.pending;
    bytes_[change.storage] = change.bytes;
    live_[change.storage] = change.live;
  }
  live_bytes_ = live_bytes;
}

OrderCost order_cost(const TouchGraph& graph, absl::Span<const int> order) {
  LiveBytes live(graph);
  OrderCost cost;
  cost.peak = live.live_bytes();
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t during = live.run(order[i]);
    cost.area += static_cast<double>(during);
    if (during > cost.peak) {
      cost.peak = during;
      cost.position = static_cast<int>(i);
    }
  }
  return cost;
}

}  // namespace modellib
