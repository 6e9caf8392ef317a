#include "modellib/ops/registry.h"

#include "modellib/ops/families.h"

namespace modellib {
namespace {

// One line for each family, in the order of families.h.
constexpr std::vector<OpDef> (*kFamilies[])() = {
    activation_ops,        //
    attention_ops,         //
    batch_norm_ops,        //
    collective_ops,        //
    cond_ops,              //
    constant_ops,          //
    conv_epilogue_ops,     //
    conv_ops,              //
    cross_entropy_ops,     //
    dim_value_ops,         //
    dropout_ops,           //
    embedding_ops,         //
    fused_ops,             //
    gather_scatter_ops,    //
    loss_ops,              //
    matmul_epilogue_ops,   //
    matmul_ops,            //
    normalization_ops,     //
    optimizer_ops,         //
    order_ops,             //
    pointwise_binary_ops,  //
    pointwise_other_ops,   //
    pointwise_unary_ops,   //
    pool_ops,              //
    random_ops,            //
    recurrent_ops,         //
    reduce_ops,            //
    scan_ops,              //
    shape_ops,             //
    softmax_ops,           //
    statistics_ops,        //
    while_ops,             //
};

}  // namespace

absl::Status add_builtin_ops(OpRegistry& registry) {
  for (auto family : kFamilies) {
    for (OpDef& op : family()) {
      if (absl::Status s = registry.add(std::move(op)); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

OpRegistry make_builtin_registry() {
  OpRegistry registry;
  // Fails only on a mistake in the families; the registry test shows it.
  add_builtin_ops(registry).IgnoreError();
  return registry;
}

const OpRegistry& builtin_ops() {
  static const OpRegistry* const registry = new OpRegistry(make_builtin_registry());
  return *registry;
}

}  // namespace modellib
