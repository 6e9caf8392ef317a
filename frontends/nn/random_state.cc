#include "modellib/frontends/nn/random_state.h"

#include "modellib/ops/random.h"

namespace modellib::nn {

Variable random_seed() { return {"random.seed", {DType::kI64, {}}}; }
Variable step_count() { return {"step", {DType::kI64, {}}}; }

Value random_key(GraphBuilder& builder) {
  return fold_in(builder.variable(random_seed()), builder.variable(step_count()));
}

}  // namespace modellib::nn
