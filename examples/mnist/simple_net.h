// The specification's SimpleNet: two hidden layers with dropout.
#ifndef MODELLIB_EXAMPLES_MNIST_SIMPLE_NET_H_
#define MODELLIB_EXAMPLES_MNIST_SIMPLE_NET_H_

#include <cstdint>

#include "modellib/frontends/nn/dropout.h"
#include "modellib/frontends/nn/linear.h"
#include "modellib/frontends/nn/module.h"
#include "modellib/ops/pointwise.h"

namespace modellib::examples {

// quote: begin
struct SimpleNet : nn::Module {
  SimpleNet(int64_t input_size, int64_t hidden_size, int64_t num_classes)
      : fc1(input_size, hidden_size),
        fc2(hidden_size, hidden_size),
        fc3(hidden_size, num_classes),
        dropout(0.5) {
    register_module("fc1", fc1);
    register_module("fc2", fc2);
    register_module("fc3", fc3);
    register_module("dropout", dropout);
  }

  // [batch, input_size] -> [batch, num_classes], the logits.
  Value forward(Value x) override {
    x = dropout.forward(relu(fc1.forward(x)));
    x = dropout.forward(relu(fc2.forward(x)));
    return fc3.forward(x);
  }

  nn::Linear fc1, fc2, fc3;
  nn::Dropout dropout;
};
// quote: end

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_MNIST_SIMPLE_NET_H_
