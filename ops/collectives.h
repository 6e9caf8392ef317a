// Collectives: one value from those of all ranks. They are not pure: ranks must call them in one
// order, which is that of the graph. The reference executor runs one rank and refuses more.
#ifndef MODELLIB_OPS_COLLECTIVES_H_
#define MODELLIB_OPS_COLLECTIVES_H_

#include <cstdint>
#include <string>
#include <tuple>

#include "modellib/graph/builder.h"

namespace modellib {

struct AllReduceAttributes {
  std::string op = "sum";  // or "mean"
  static constexpr auto fields() { return std::make_tuple(field("op", &AllReduceAttributes::op)); }
};
// The sum or mean over all ranks, at each of them. Numbers; mean of reals only.
Value all_reduce(Value x, AllReduceAttributes attributes = {});

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
