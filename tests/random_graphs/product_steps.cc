#include "modellib/tests/random_graphs/graph_maker.h"

#include <algorithm>

#include "modellib/ops/activations.h"
#include "modellib/ops/attention.h"
#include "modellib/ops/batch_norm.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"

// Products: matrices, attention, convolutions.
namespace modellib {

void GraphMaker::product() {
  const auto x = pick([](const Item& i) {
    return is_f32(i) && i.value.rank() >= 2 && i.value.dim(-1).is_static();
  });
  if (!x.has_value()) return;
  const Dim k = x->value.dim(-1);
  const Dim n = random_.between(1, 9);
  const bool transposed = random_.chance(0.5);
  Value y = matmul(x->value, random_constant(transposed ? Shape{n, k} : Shape{k, n}),
                   {.transpose_b = transposed});
  double bound = x->bound * static_cast<double>(k.value());
  if (random_.chance(0.5)) y = y + random_constant({n}), bound += 1;
  if (random_.chance(0.3)) y = relu(y);
  if (random_.chance(0.3)) y = gelu(y);
  keep(y * (1.0 / static_cast<double>(k.value())), bound / static_cast<double>(k.value()));
}

void GraphMaker::gram() {
  const auto x = pick([](const Item& i) {
    return is_f32(i) && i.value.rank() >= 2 && i.value.dim(-1).is_static();
  });
  if (!x.has_value()) return;
  keep(matmul(x->value, x->value, {.transpose_b = true}),
       x->bound * x->bound * static_cast<double>(x->value.dim(-1).value()));
}

void GraphMaker::attend() {
  if (random_.chance(0.4)) {
    // As models have it: heads come out of a projection's last axis and go back into it.
    const auto heads = [&](int64_t positions) {
      const Item x = add_input_of({DType::kF32, {2, positions, 8}});
      return transpose(reshape(x.value, {2, positions, 2, 4}), {0, 2, 1, 3});
    };
    const Value q = heads(3), k = heads(5), v = heads(5);
    return keep(reshape(transpose(attention(q, k, v), {0, 2, 1, 3}), {2, 3, 8}), 2);
  }
  const Item q = add_input_of({DType::kF32, {2, 2, 3, 4}});
  const Item k = add_input_of({DType::kF32, {2, 2, 5, 4}});
  if (random_.chance(0.5)) return keep(attention(q.value, k.value, k.value), 2);
  // Spelled out.
  const Value scores = matmul(q.value, transpose(k.value, {0, 1, 3, 2})) * 0.5;
  keep(matmul(softmax(scores), k.value), 2);
}

void GraphMaker::convolve() {
  const Item x = add_input_of({DType::kF32, {2, 3, 5, 6}});
  Value y = conv2d(x.value, random_constant({4, 3, 3, 3}, 0.3),
                   {.padding_low = {1, 1}, .padding_high = {1, 1}});
  if (random_.chance(0.5)) {
    const Value variance = b_.constant(random_tensor(DType::kF32, {4}, 0.5, 2));
    y = batch_norm_inference(y, random_constant({4}), variance, random_constant({4}),
                             random_constant({4}));
  }
  if (random_.chance(0.3)) {
    // A second one, so that a layout is worth choosing.
    y = conv2d(relu(y * 0.25), random_constant({4, 4, 1, 1}, 0.3));
  }
  keep(random_.chance(0.5) ? max_pool(relu(y), {.kernel = {2, 2}}) : y * 0.25, 8);
}

// In a type of 16 bits, from values that rounding has not touched: else the last bit of an operand,
// which executors may differ in, would be magnified to that of a short float.
void GraphMaker::narrow_product() {
  const auto x = pick([](const Item& i) {
    return is_f32(i) && i.exact && i.value.rank() >= 2 && i.value.dim(-1).is_static();
  });
  if (!x.has_value()) return;
  const DType narrow = one_of({DType::kF16, DType::kBF16});
  result_.tolerance = std::max(result_.tolerance, narrow == DType::kF16 ? 2e-2 : 1e-1);
  const Dim k = x->value.dim(-1);
  const Dim n = random_.between(1, 9);
  const Value w = cast(random_constant({k, n}), narrow);
  const Value y = matmul(cast(x->value, narrow), w);
  const double bound = x->bound * static_cast<double>(k.value());
  if (random_.chance(0.5)) return keep(cast(y, DType::kF32) * (1.0 / bound), 1);
  keep(cast(relu(y) * cast(b_.scalar(1.0 / bound), narrow), DType::kF32), 1);
}

}  // namespace modellib
