// All layers: the one header that a model needs.
#ifndef MODELLIB_FRONTENDS_NN_NN_H_
#define MODELLIB_FRONTENDS_NN_NN_H_

#include "modellib/frontends/nn/activation.h"
#include "modellib/frontends/nn/attention.h"
#include "modellib/frontends/nn/batch_norm.h"
#include "modellib/frontends/nn/container.h"
#include "modellib/frontends/nn/conv.h"
#include "modellib/frontends/nn/dropout.h"
#include "modellib/frontends/nn/embedding.h"
#include "modellib/frontends/nn/flatten.h"
#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/frontends/nn/normalization.h"
#include "modellib/frontends/nn/parameter.h"
#include "modellib/frontends/nn/pooling.h"
#include "modellib/frontends/nn/positional_encoding.h"
#include "modellib/frontends/nn/recurrent.h"
#include "modellib/frontends/nn/state_dict.h"
#include "modellib/frontends/nn/transformer.h"

namespace modellib {

// The specification's name for this module.
namespace layers = nn;

}  // namespace modellib

#endif  // MODELLIB_FRONTENDS_NN_NN_H_
