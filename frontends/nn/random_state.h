// The random state of a program: a seed that "initialize" stores, and the number of training steps
// made. Together they are the key of every dropout of a step.
#ifndef MODELLIB_FRONTENDS_NN_RANDOM_STATE_H_
#define MODELLIB_FRONTENDS_NN_RANDOM_STATE_H_

#include "modellib/graph/builder.h"

namespace modellib::nn {

Variable random_seed();  // i64[]
Variable step_count();   // i64[]: training steps made before this run

// The key of this step, an i64 scalar; for random ops (ops/random.h).
Value random_key(GraphBuilder& builder);

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_RANDOM_STATE_H_
