// Pointwise composites.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "modellib/ops/activations.h"
#include "modellib/ops/pointwise.h"
#include "modellib/passes/recognise_rules.h"

namespace modellib::recognise_rules {
namespace {

using pattern::any;
using pattern::either;
using pattern::number;
using pattern::op;
using pattern::product;

// Irrational constants are written with few digits.
constexpr double kDigits = 1e-4;

// A composite of x alone. Constants of rank 1 and more could have widened the result.
template <Value (*composite)(Value)>
absl::StatusOr<Value> of_x(const Found& f) {
  if (!(f.type("x") == f.result())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the result is ", to_string(f.result()), ", x is ", to_string(f.type("x"))));
  }
  return composite(f["x"]);
}
Value gelu_exact(Value x) { return gelu(x); }
Value gelu_tanh(Value x) { return gelu(x, {.approximate = "tanh"}); }

// x cut off at both limits, in any spelling.
Pattern cut(const Pattern& x, double low, double high) {
  const Pattern clamp =
      op("clamp", {x})
          .attributes<ClampAttributes>(
              absl::StrCat("a clamp to [", low, ", ", high, "]"),
              [=](const ClampAttributes& a) { return a.min == low && a.max == high; });
  std::vector<Pattern> forms = {clamp,
                                op("minimum", {op("maximum", {x, number(low)}), number(high)}),
                                op("maximum", {op("minimum", {x, number(high)}), number(low)})};
  if (low == 0) forms.push_back(op("minimum", {op("relu", {x}), number(high)}));
  return either(forms);
}

Pattern gelu_erf() {
  const Pattern x = any("x");
  const Pattern scaled = either({op("div", {x, number(std::sqrt(2.0), kDigits)}),
                                 op("mul", {x, number(std::sqrt(0.5), kDigits)})});
  return product(x, number(0.5), op("add", {op("erf", {scaled}), number(1)}));
}

Pattern gelu_by_tanh() {
  const Pattern x = any("x");
  const Pattern root = number(std::sqrt(2.0 / 3.14159265358979323846), kDigits);
  const Pattern square = either({op("mul", {x, x}), op("pow", {x, number(2)})});
  const Pattern cube = either({op("pow", {x, number(3)}), op("mul", {square, x})});
  const Pattern c = number(0.044715, kDigits);
  const Pattern sum = op("add", {x, either({op("mul", {cube, c}), product(square, x, c)})});
  const Pattern factor = op("add", {either({op("mul", {square, c}), product(x, x, c)}), number(1)});
  const Pattern inner = either({op("mul", {sum, root}), product(x, root, factor)});
  return product(x, number(0.5), op("add", {op("tanh", {inner}), number(1)}));
}

// 1 + exp(-x)
Pattern logistic_divisor(const Pattern& x) {
  return op("add", {op("exp", {op("neg", {x})}), number(1)});
}

}  // namespace

std::vector<Rule> activation_rules() {
  const Pattern x = any("x");
  const Pattern shifted = op("relu6", {op("add", {x, number(3)})});
  const Pattern line = op(
      "add", {either({op("mul", {x, number(1.0 / 6)}), op("div", {x, number(6)})}), number(0.5)});
  return {
      {"sigmoid",
       either(
           {op("div", {number(1), logistic_divisor(x)}), op("reciprocal", {logistic_divisor(x)})}),
       of_x<sigmoid>, 8},
      {"silu", either({op("mul", {x, op("sigmoid", {x})}), op("div", {x, logistic_divisor(x)})}),
       of_x<silu>, 7},
      {"mish",
       op("mul", {x, op("tanh", {op("softplus", {x})
                                     .attributes<SoftplusAttributes>(
                                         "a softplus with beta 1 and threshold 20",
                                         [](const SoftplusAttributes& a) {
                                           return a.beta == 1.0 && a.threshold == 20.0;
                                         })})}),
       of_x<mish>, 7},
      {"gelu", gelu_erf(), of_x<gelu_exact>, 10},
      {"gelu", gelu_by_tanh(), of_x<gelu_tanh>, 10},
      {"relu6", cut(x, 0, 6), of_x<relu6>, 7},
      {"hard_sigmoid",
       either({op("div", {shifted, number(6)}), op("mul", {shifted, number(1.0 / 6)}),
               cut(line, 0, 1)}),
       of_x<hard_sigmoid>, 8},
      // At -inf, where the product is NaN, the composite is 0.
      {"hard_swish",
       either({op("mul", {x, op("hard_sigmoid", {x})}),
               op("div", {op("mul", {x, shifted}), number(6)}),
               product(x, shifted, number(1.0 / 6))}),
       of_x<hard_swish>, 8},
  };
}

}  // namespace modellib::recognise_rules
