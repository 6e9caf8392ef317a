// First values of a model from named tensors, as PyTorch's load_state_dict takes them.
#ifndef MODELLIB_FRONTENDS_NN_STATE_DICT_H_
#define MODELLIB_FRONTENDS_NN_STATE_DICT_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/graph/tensor.h"

namespace modellib::nn {

// By the names of parameters and buffers: "encoder.layers.0.linear1.weight".
using StateDict = std::map<std::string, Tensor>;

// A state that PyTorch wrote, under the names of `module`: the in_proj_weight and in_proj_bias of a
// MultiHeadAttention are split into its projections (bytes are shared), num_batches_tracked is left
// out. InvalidArgument for what cannot be split, and for a projection that is there beside.
absl::StatusOr<StateDict> own_names(const Module& module, StateDict state);

// Makes each tensor, by own_names(), the first value of the parameter or buffer of its name; the
// bytes are shared, not copied. A tied parameter may stand under any of its names, and under
// several of them with the same bits, as PyTorch writes it. On InvalidArgument, which lists all
// names that are missing, unknown, of another type, or tied and different, nothing has changed.
absl::Status load_state(Module& module, const StateDict& state);

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_STATE_DICT_H_
