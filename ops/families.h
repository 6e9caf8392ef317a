// The registry list: one function for each op family, defined in the family's own file.
#ifndef MODELLIB_OPS_FAMILIES_H_
#define MODELLIB_OPS_FAMILIES_H_

#include <vector>

#include "modellib/graph/op_def.h"

namespace modellib {

std::vector<OpDef> activation_ops();
std::vector<OpDef> attention_ops();
std::vector<OpDef> batch_norm_ops();
std::vector<OpDef> collective_ops();
std::vector<OpDef> cond_ops();
std::vector<OpDef> constant_ops();
std::vector<OpDef> conv_epilogue_ops();
std::vector<OpDef> conv_ops();
std::vector<OpDef> cross_entropy_ops();
std::vector<OpDef> dim_value_ops();
std::vector<OpDef> dropout_ops();
std::vector<OpDef> embedding_ops();
std::vector<OpDef> fused_ops();
std::vector<OpDef> gather_scatter_ops();
std::vector<OpDef> loss_ops();
std::vector<OpDef> matmul_epilogue_ops();
std::vector<OpDef> matmul_ops();
std::vector<OpDef> normalization_ops();
std::vector<OpDef> optimizer_ops();
std::vector<OpDef> order_ops();
std::vector<OpDef> pointwise_binary_ops();
std::vector<OpDef> pointwise_other_ops();
std::vector<OpDef> pointwise_unary_ops();
std::vector<OpDef> pool_ops();
std::vector<OpDef> random_ops();
std::vector<OpDef> recurrent_ops();
std::vector<OpDef> reduce_ops();
std::vector<OpDef> scan_ops();
std::vector<OpDef> shape_ops();
std::vector<OpDef> softmax_ops();
std::vector<OpDef> statistics_ops();
std::vector<OpDef> while_ops();

}  // namespace modellib

#endif  // MODELLIB_OPS_FAMILIES_H_
