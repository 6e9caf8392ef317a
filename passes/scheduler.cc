#include "modellib/passes/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/passes/list_scheduling.h"
#include "modellib/passes/live_bytes.h"

namespace modellib {
namespace {

absl::Status check_order(const TouchGraph& graph, absl::Span<const int> order) {
  if (static_cast<int>(order.size()) != graph.nodes) {
    return absl::InvalidArgumentError(
        absl::StrCat("an order of ", order.size(), " nodes for ", graph.nodes));
  }
  std::vector<char> done(graph.nodes, 0);
  for (int node : order) {
    if (node < 0 || node >= graph.nodes || done[node]) {
      return absl::InvalidArgumentError(absl::StrCat("node ", node, " is repeated or unknown"));
    }
    for (int before : graph.predecessors[node]) {
      if (!done[before]) {
        return absl::InvalidArgumentError(
            absl::StrCat("node ", node, " runs before node ", before, ", which it depends on"));
      }
    }
    done[node] = 1;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ScheduleResult> schedule(const ScheduleProblem& problem,
                                        const ScheduleOptions& options) {
  absl::StatusOr<TouchGraph> made = TouchGraph::make(problem);
  if (!made.ok()) return made.status();
  const TouchGraph& graph = *made;
  const TouchGraph back = graph.reversed();

  ScheduleResult result;
  OrderCost best;
  const auto consider = [&](std::vector<int> order, const char* strategy) {
    const OrderCost cost = order_cost(graph, order);
    if (result.strategy.empty() || cost < best) {
      best = cost;
      result.order = std::move(order);
      result.strategy = strategy;
    }
  };
  const auto consider_back = [&](std::vector<int> order, const char* strategy) {
    std::reverse(order.begin(), order.end());
    consider(std::move(order), strategy);
  };

  consider(graph.topological, "topological");
  result.baseline = best.peak;
  consider(list_order(graph, ListRule::kLeastNet), "least net");
  consider(list_order(graph, ListRule::kLookAhead), "look-ahead");
  consider(list_order(graph, ListRule::kDepthFirst), "depth first, freeing first");
  consider(list_order(graph, ListRule::kLeastRise), "least rise");
  consider_back(list_order(back, ListRule::kLeastNet), "least net, backwards");
  consider_back(list_order(back, ListRule::kLookAhead), "look-ahead, backwards");
  consider_back(list_order(back, ListRule::kDepthFirst), "depth first, freeing first, backwards");
  consider(depth_first_order(graph, false, false), "post-order");
  consider(depth_first_order(graph, true, false), "post-order, descending");
  consider(depth_first_order(graph, false, true), "post-order, large first");
  consider_back(depth_first_order(back, false, false), "reverse post-order");
  consider_back(depth_first_order(back, true, false), "reverse post-order, descending");

  std::vector<int> improved = result.order;
  improve_order(graph, options.work, &improved);
  consider(std::move(improved), "local search");

  std::vector<char> other_lane(graph.nodes, 0);
  bool lanes = false;
  for (int n = 0; n < graph.nodes; ++n) {
    other_lane[n] = problem.nodes[n].lane != 0;
    lanes = lanes || other_lane[n];
  }
  if (lanes) {
    hoist(graph, other_lane, options.work, &result.order);
    stagger(graph, other_lane, &result.order);
    best = order_cost(graph, result.order);
  }
  result.peak = best.peak;
  return result;
}

absl::StatusOr<int64_t> schedule_peak(const ScheduleProblem& problem, absl::Span<const int> order) {
  absl::StatusOr<TouchGraph> graph = TouchGraph::make(problem);
  if (!graph.ok()) return graph.status();
  absl::Status status = check_order(*graph, order);
  if (!status.ok()) return status;
  return order_cost(*graph, order).peak;
}

absl::StatusOr<std::vector<MemoryRecord>> live_records(const ScheduleProblem& problem,
                                                       absl::Span<const int> order,
                                                       int64_t alignment) {
  absl::StatusOr<TouchGraph> graph = TouchGraph::make(problem);
  if (!graph.ok()) return graph.status();
  absl::Status status = check_order(*graph, order);
  if (!status.ok()) return status;

  const int buffers = static_cast<int>(problem.buffers.size());
  std::vector<int> position(graph->nodes);
  std::vector<char> in_place(buffers, 0);
  LiveBytes live(*graph);
  for (int i = 0; i < graph->nodes; ++i) {
    position[order[i]] = i;
    for (const InPlace& pair : graph->in_place[order[i]]) {
      if (live.takes_over(order[i], pair)) in_place[pair.buffer] = 1;
    }
    live.run(order[i]);
  }

  std::vector<MemoryRecord> records;
  const int64_t end = std::max(0, graph->nodes - 1);
  for (int b = 0; b < buffers; ++b) {
    const ScheduleBuffer& buffer = problem.buffers[b];
    const int s = graph->storage[b];
    if (s < 0 || (graph->touched_by[s].empty() && !graph->at_exit[s])) continue;
    MemoryRecord& record = records.emplace_back();
    record.id = b;
    record.size = buffer.size;
    record.alignment = alignment;
    record.name = buffer.name;
    if (buffer.alias_of >= 0) {
      record.alias_of = buffer.alias_of;
      record.alias_offset = buffer.alias_offset;
      record.alignment = 1;
    } else if (in_place[b]) {
      record.alias_of = buffer.in_place_of;
      record.alignment = 1;
    }
    int64_t first = end;
    int64_t last = 0;
    const auto use = [&](int node) {
      first = std::min<int64_t>(first, position[node]);
      last = std::max<int64_t>(last, position[node]);
    };
    if (buffer.producer >= 0) use(buffer.producer);
    for (int consumer : buffer.consumers) use(consumer);
    if (graph->at_entry[s] && buffer.alias_of < 0) first = 0;
    if (buffer.output) last = end;
    if (first > last) {
      // A view that nobody reads, or a buffer that only its aliases use: the moment of any toucher.
      first = last = graph->touched_by[s].empty() ? 0 : position[graph->touched_by[s].front()];
    }
    record.first = first;
    record.last = last;
  }
  for (int n = 0; n < graph->nodes; ++n) {
    if (problem.nodes[n].workspace == 0) continue;
    MemoryRecord& record = records.emplace_back();
    record.id = static_cast<int64_t>(buffers) + n;
    record.size = problem.nodes[n].workspace;
    record.alignment = alignment;
    record.first = record.last = position[n];
    record.name = absl::StrCat("workspace of node ", n);
  }
  return records;
}

}  // namespace modellib
