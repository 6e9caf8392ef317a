// Collectives: one value from those of all ranks. They are not pure: ranks must call them in one
// order, which is that of the graph. The reference executor runs one rank and refuses more.
#ifndef MODELLIB_OPS_COLLECTIVES_H_
#define MODELLIB_OPS_COLLECTIVES_H_

#include <cstdint>
#include <string>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

// The number of this rank, from 0, and that of all: i64 scalars, bound when a session gets its
// communicator (0 and 1 without one).
Value rank_index(GraphBuilder& builder);
Value world_size(GraphBuilder& builder);

struct AllReduceAttributes {
  std::string op = "sum";  // "product", "min", "max"
  static constexpr auto fields() { return std::make_tuple(field("op", &AllReduceAttributes::op)); }
};
// The numbers of all ranks combined, at each of them. Only the sum is differentiable.
Value all_reduce(Value x, AllReduceAttributes attributes = {});
// The mean of reals over all ranks: their sum, divided by their number.
Value all_reduce_mean(Value x);

struct RootAttributes {
  int64_t root = 0;  // a rank
  static constexpr auto fields() { return std::make_tuple(field("root", &RootAttributes::root)); }
};
// The root's x, at every rank.
Value broadcast(Value x, RootAttributes attributes = {});
// The sum over all ranks at the root, zeros elsewhere. Each of it and broadcast is the other's
// derivative.
Value reduce_to(Value x, RootAttributes attributes = {});

struct ShardAttributes {
  int64_t axis = 0;
  int64_t ranks = 1;
  static constexpr auto fields() {
    return std::make_tuple(field("axis", &ShardAttributes::axis),
                           field("ranks", &ShardAttributes::ranks));
  }
};
// The x of all ranks joined along the axis, in the order of ranks, at every rank.
Value all_gather(Value x, ShardAttributes attributes);
// The sum over all ranks, of which each keeps its part along the axis. The extent is a multiple of
// ranks.
Value reduce_scatter(Value x, ShardAttributes attributes);

}  // namespace modellib

#endif  // MODELLIB_OPS_COLLECTIVES_H_
