#include "modellib/frontends/nn/container.h"

namespace modellib::nn {

Value Sequential::forward(Value input) {
  const ModuleScope scope(*this, input);
  for (size_t i = 0; i < children(); ++i) input = child(i).forward(input);
  return input;
}

}  // namespace modellib::nn
