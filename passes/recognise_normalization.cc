// Softmax, layer norm and RMS norm. The norms are found bare first; what scales and shifts them
// joins in a later round.
#include "modellib/ops/normalization.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"
#include "modellib/passes/recognise_rules.h"

namespace modellib::recognise_rules {

std::vector<int> reduced_axes(const Graph& graph, const Graph::Node& reduction) {
  const auto& axes = reduction.attributes.as<ReduceAttributes>().axes;
  return *normal_axes(axes, graph.type(reduction.inputs[0]).rank());
}

Pattern reduction(absl::string_view op, Pattern x) {
  return pattern::op(op, {std::move(x)})
      .attributes<ReduceAttributes>(
          absl::StrCat("a ", op, " that keeps its axes"),
          [](const ReduceAttributes& a) { return a.keepdims && !a.accumulate.has_value(); });
}

namespace {

using pattern::absent;
using pattern::any;
using pattern::either;
using pattern::number;
using pattern::op;

// x less its maximum, "maximum".
Pattern shifted(const Pattern& x) {
  const Pattern largest = reduction("reduce_max", x).as("maximum");
  return op("sub", {x, either({largest, op("stop_gradient", {largest})})});
}

absl::StatusOr<int64_t> axis_of_softmax(const Found& f) {
  const std::vector<int> axes = reduced_axes(f.graph(), f.node("maximum"));
  if (axes != reduced_axes(f.graph(), f.node("sum"))) {
    return absl::FailedPreconditionError("the sum runs over other axes than the maximum");
  }
  if (axes.size() != 1) {
    return absl::FailedPreconditionError(absl::StrCat("it runs over ", axes.size(), " axes"));
  }
  // Counted from the back, as models write it.
  return axes[0] - f.type("x").rank();
}

absl::StatusOr<Value> build_softmax(const Found& f) {
  const absl::StatusOr<int64_t> axis = axis_of_softmax(f);
  if (!axis.ok()) return axis.status();
  return softmax(f["x"], {*axis});
}
absl::StatusOr<Value> build_log_softmax(const Found& f) {
  const absl::StatusOr<int64_t> axis = axis_of_softmax(f);
  if (!axis.ok()) return axis.status();
  return log_softmax(f["x"], {*axis});
}

Rule softmax_rule() {
  const Pattern e = op("exp", {shifted(any("x"))}).as("e");
  const Pattern sum = reduction("reduce_sum", e).as("sum");
  return {"softmax", either({op("div", {e, sum}), op("mul", {e, op("reciprocal", {sum})})}),
          build_softmax, 8};
}

Rule log_softmax_rule() {
  const Pattern s = shifted(any("x")).as("shifted");
  const Pattern sum = reduction("reduce_sum", op("exp", {s})).as("sum");
  return {"log_softmax", op("sub", {s, op("log", {sum})}), build_log_softmax, 12};
}

Pattern square_of(const Pattern& x) {
  return either({op("mul", {x, x}), op("pow", {x, number(2)})});
}

// x divided by the square root of `mean square` + "eps".
Pattern over_root(const Pattern& x, const Pattern& mean_square) {
  const Pattern radicand = op("add", {mean_square, number().as("eps")});
  const Pattern root = either({op("sqrt", {radicand}), op("pow", {radicand, number(0.5)})});
  const Pattern inverse =
      either({op("rsqrt", {radicand}), op("reciprocal", {root}), op("div", {number(1), root}),
              op("pow", {radicand, number(-0.5)})});
  return either({op("div", {x, root}), op("mul", {x, inverse})});
}

// How many trailing axes the captured mean runs over.
absl::StatusOr<int64_t> normalized_rank(const Found& f, absl::string_view mean) {
  const int rank = f.type("x").rank();
  const std::vector<int> axes = reduced_axes(f.graph(), f.node(mean));
  const auto count = static_cast<int>(axes.size());
  for (int i = 0; i < count; ++i) {
    if (axes[static_cast<size_t>(i)] != rank - count + i) {
      return absl::FailedPreconditionError("the mean does not run over the last axes");
    }
  }
  if (!(f.number("eps") >= 0)) {
    return absl::FailedPreconditionError(absl::StrCat("eps is ", f.number("eps")));
  }
  if (!(f.type("x") == f.result())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the result is ", to_string(f.result()), ", x is ", to_string(f.type("x"))));
  }
  return count;
}

absl::StatusOr<Value> build_layer_norm(const Found& f) {
  const absl::StatusOr<int64_t> rank = normalized_rank(f, "mean");
  if (!rank.ok()) return rank.status();
  if (reduced_axes(f.graph(), f.node("mean")) != reduced_axes(f.graph(), f.node("variance"))) {
    return absl::FailedPreconditionError("the variance runs over other axes than the mean");
  }
  return layer_norm(f["x"], {}, {}, {.normalized_rank = *rank, .eps = f.number("eps")});
}

Rule layer_norm_rule() {
  const Pattern x = any("x");
  const Pattern centred = op("sub", {x, reduction("reduce_mean", x).as("mean")}).as("centred");
  const Pattern variance = reduction("reduce_mean", square_of(centred)).as("variance");
  return {"layer_norm", over_root(centred, variance), build_layer_norm, 10};
}

absl::StatusOr<Value> build_rms_norm(const Found& f) {
  const absl::StatusOr<int64_t> rank = normalized_rank(f, "mean");
  if (!rank.ok()) return rank.status();
  return rms_norm(f["x"], {}, {.normalized_rank = *rank, .eps = f.number("eps")});
}

Rule rms_norm_rule() {
  const Pattern x = any("x");
  const Pattern mean = reduction("reduce_mean", square_of(x)).as("mean");
  return {"rms_norm", over_root(x, mean), build_rms_norm, 10};
}

// `parameter` as the weight or bias of rows of `norm`, whose last `rank` extents it must have;
// leading extents of 1 are dropped.
absl::StatusOr<Value> row_parameter(const Found& f, absl::string_view parameter, int64_t rank) {
  const Shape& x = f.type("norm").shape;
  const Shape& p = f.type(parameter).shape;
  const Shape row(x.end() - rank, x.end());
  const auto lead = static_cast<int64_t>(p.size()) - rank;
  const bool fits = lead >= 0 && f.result() == f.type("norm") &&
                    std::equal(row.begin(), row.end(), p.end() - rank) &&
                    std::all_of(p.begin(), p.begin() + lead, [](Dim d) { return d == Dim(1); });
  if (!fits) {
    return absl::FailedPreconditionError(absl::StrCat("its other operand is ",
                                                      to_string(f.type(parameter)),
                                                      ", not of the rows' ", to_string(row)));
  }
  return lead == 0 ? f[parameter] : reshape(f[parameter], row);
}

absl::StatusOr<Value> build_scaled_layer_norm(const Found& f) {
  const auto a = f.node("norm").attributes.as<LayerNormAttributes>();
  const absl::StatusOr<Value> weight = row_parameter(f, "weight", a.normalized_rank);
  if (!weight.ok()) return weight.status();
  return layer_norm(f["x"], *weight, {}, a);
}
absl::StatusOr<Value> build_shifted_layer_norm(const Found& f) {
  const auto a = f.node("norm").attributes.as<LayerNormAttributes>();
  const absl::StatusOr<Value> bias = row_parameter(f, "bias", a.normalized_rank);
  if (!bias.ok()) return bias.status();
  return layer_norm(f["x"], f.has("weight") ? f["weight"] : Value(), *bias, a);
}
absl::StatusOr<Value> build_scaled_rms_norm(const Found& f) {
  const auto a = f.node("norm").attributes.as<RmsNormAttributes>();
  const absl::StatusOr<Value> weight = row_parameter(f, "weight", a.normalized_rank);
  if (!weight.ok()) return weight.status();
  return rms_norm(f["x"], *weight, a);
}

}  // namespace

std::vector<Rule> normalization_rules() {
  const Pattern x = any("x");
  const Pattern bare = op("layer_norm", {x, absent(), absent()}).as("norm");
  const Pattern scaled = op("layer_norm", {x, any("weight"), absent()}).as("norm");
  const Pattern rms = op("rms_norm", {x, absent()}).as("norm");
  return {
      softmax_rule(),
      log_softmax_rule(),
      layer_norm_rule(),
      rms_norm_rule(),
      {"layer_norm with a weight", op("mul", {bare, any("weight")}), build_scaled_layer_norm, 12},
      {"layer_norm with a bias", op("add", {either({scaled, bare}), any("bias")}),
       build_shifted_layer_norm, 12},
      {"rms_norm with a weight", op("mul", {rms, any("weight")}), build_scaled_rms_norm, 12}};
}

}  // namespace modellib::recognise_rules
