#include "modellib/ops/attention.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/dropout.h"
#include "modellib/ops/families.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/random.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/sum_to.h"

namespace modellib {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// x from one of the layouts to the other, or from BHSD to `layout` and back.
Value swapped(Value x, const std::string& layout) {
  return layout == "BSHD" ? transpose(x, {0, 2, 1, 3}) : x;
}

// The operands of a call of attention or attention_grad, widened and in the order BHSD, with their
// extents named.
struct Scene {
  const AttentionAttributes& attributes;
  Value q, k, v;             // in the type of the sums
  Value mask, lengths, key;  // null: absent
  Dim batch, heads, queries, size, kv_heads, keys, value_size;

  Scene(const OpCall& c, int first, int first_optional)
      : attributes(c.attributes.as<AttentionAttributes>()),
        q(in_query(c.in(first))),
        k(swapped(widened(c.in(first + 1)), attributes.key_layout)),
        v(swapped(widened(c.in(first + 2)), attributes.key_layout)),
        batch(q.shape()[0]),
        heads(q.shape()[1]),
        queries(q.shape()[2]),
        size(q.shape()[3]),
        kv_heads(k.shape()[1]),
        keys(k.shape()[2]),
        value_size(v.shape()[3]) {
    const auto optional = [&](int i) { return c.has(i) ? c.in(i) : Value(); };
    mask = optional(first_optional);
    lengths = optional(first_optional + 1);
    key = optional(first_optional + 2);
  }

  // Of q's layout: an operand as BHSD, and a result from it in the type `dtype`.
  Value in_query(Value x) const { return swapped(widened(x), attributes.query_layout); }
  Value as_query(Value x, DType dtype) const {
    return as_dtype(swapped(x, attributes.query_layout), dtype);
  }
  Value as_key(Value x, DType dtype) const {
    return as_dtype(swapped(x, attributes.key_layout), dtype);
  }

  double scale() const {
    return attributes.scale.value_or(1.0 / std::sqrt(static_cast<double>(size.value())));
  }
  // [batch, heads, queries, n] and [batch, kv heads, group · queries, n]: the same elements. In the
  // second form the queries that share a key head are rows of one matrix.
  Value grouped(Value x) const {
    return reshape(x, {batch, kv_heads, heads / kv_heads * queries, x.dim(3)});
  }
  Value ungrouped(Value x) const { return reshape(x, {batch, heads, queries, x.dim(3)}); }

  // Scaled and masked scores [batch, heads, queries, keys]; -inf where the query does not see the
  // key.
  Value scores() const {
    Value s = ungrouped(matmul(grouped(q * scale()), k, {.transpose_b = true}));
    if (!mask.is_null() && mask.dtype() != DType::kBool) s = s + as_dtype(mask, s.dtype());
    const Value seen = visible();
    return seen.is_null() ? s : where(seen, s, -kInfinity);
  }
  Value dropped(Value probabilities) const {
    return attributes.dropout_p == 0.0
               ? probabilities
               : dropout(probabilities, key, {attributes.dropout_p, attributes.stream});
  }

 private:
  // Which query sees which key, broadcasting to the scores; null: all.
  Value visible() const {
    Value seen = !mask.is_null() && mask.dtype() == DType::kBool ? mask : Value();
    const auto restrict_to = [&](Value more) {
      seen = seen.is_null() ? more : logical_and(seen, more);
    };
    if (!attributes.is_causal && lengths.is_null()) return seen;
    GraphBuilder& b = *q.builder();
    const Value column = iota(b, {1, 1, 1, keys}, {.axis = 3, .dtype = DType::kI64});
    Value row;
    if (attributes.is_causal) row = iota(b, {1, 1, queries, 1}, {.axis = 2, .dtype = DType::kI64});
    if (!lengths.is_null()) {
      const Value length = reshape(lengths, {batch, 1, 1, 1});
      restrict_to(less(column, length));
      if (attributes.is_causal) row = row + length - dim_value(b, queries);
    }
    if (attributes.is_causal) restrict_to(less_equal(column, row));
    return seen;
  }
};

// attention(q, k, v, mask?, lengths?, key?) -> out, lse

absl::Status check_mask(InferenceContext& c, const TensorType& mask, const Shape& scores) {
  const std::string expected =
      absl::StrCat("the mask must broadcast to ", to_string(scores), ", is ", to_string(mask));
  if (mask.rank() > 4) return absl::InvalidArgumentError(expected);
  const size_t lead = scores.size() - mask.shape.size();
  for (size_t i = 0; i < mask.shape.size(); ++i) {
    if (mask.shape[i] == Dim(1)) continue;
    MODELLIB_RETURN_IF_ERROR(c.require_equal(mask.shape[i], scores[lead + i], expected));
  }
  return absl::OkStatus();
}

// The checks that attention and its gradient share; operands from `first` and `first_optional` on.
absl::Status check_operands(InferenceContext& c, int first, int first_optional) {
  const auto& a = c.attributes.as<AttentionAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_real(c, first));
  for (int i = first; i < first + 3; ++i) {
    MODELLIB_RETURN_IF_ERROR(require_rank(c, i, 4));
    MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, first, i));
  }
  for (const std::string& layout : {a.query_layout, a.key_layout}) {
    if (layout != "BHSD" && layout != "BSHD") {
      return absl::InvalidArgumentError(
          absl::StrCat("layouts are \"BHSD\" and \"BSHD\", not '", layout, "'"));
    }
  }
  const Shape q = attention_shape(c.input(first).shape, a.query_layout);
  const Shape k = attention_shape(c.input(first + 1).shape, a.key_layout);
  const Shape v = attention_shape(c.input(first + 2).shape, a.key_layout);
  MODELLIB_RETURN_IF_ERROR(c.require_equal(q[0], k[0], "batch of queries and keys"));
  MODELLIB_RETURN_IF_ERROR(c.require_equal(q[0], v[0], "batch of queries and values"));
  MODELLIB_RETURN_IF_ERROR(c.require_equal(k[1], v[1], "heads of keys and values"));
  MODELLIB_RETURN_IF_ERROR(c.require_equal(k[2], v[2], "numbers of keys and values"));
  MODELLIB_RETURN_IF_ERROR(c.require_equal(q[3], k[3], "sizes of queries and keys"));
  if (!q[1].is_static() || !k[1].is_static() || k[1].value() < 1 ||
      q[1].value() % k[1].value() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("heads must be known ahead, those of queries (", q[1].to_string(),
                     ") a multiple of those of keys (", k[1].to_string(), ")"));
  }
  if (!a.scale.has_value() && (!q[3].is_static() || q[3].value() < 1)) {
    return absl::InvalidArgumentError(
        "without a scale the head size must be known ahead and positive");
  }
  const int mask = first_optional, lengths = first_optional + 1, key = first_optional + 2;
  if (c.has(mask)) {
    if (c.input(mask).dtype != DType::kBool) {
      MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, first, mask));
    }
    MODELLIB_RETURN_IF_ERROR(check_mask(c, c.input(mask), {q[0], q[1], q[2], k[2]}));
  }
  if (c.has(lengths)) {
    MODELLIB_RETURN_IF_ERROR(require_dtype(c, lengths, DType::kI64));
    MODELLIB_RETURN_IF_ERROR(require_rank(c, lengths, 1));
    MODELLIB_RETURN_IF_ERROR(
        c.require_equal(c.input(lengths).shape[0], q[0], "a length for each row of the batch"));
  }
  if (!(a.dropout_p >= 0 && a.dropout_p <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("dropout_p must lie in [0, 1], is ", a.dropout_p));
  }
  if (a.dropout_p > 0 && !c.has(key)) {
    return absl::InvalidArgumentError("dropout needs a random key");
  }
  return absl::OkStatus();
}

absl::Status infer_attention(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(check_operands(c, 0, 3));
  const TensorType& q = c.input(0);
  const Shape shape = attention_shape(q.shape, c.attributes.as<AttentionAttributes>().query_layout);
  Shape out = q.shape;
  out[3] = c.input(2).shape[3];
  c.outputs = {{q.dtype, std::move(out)},
               {accumulation_type(q.dtype), {shape[0], shape[1], shape[2]}}};
  return absl::OkStatus();
}

std::vector<Value> decompose_attention(OpCall& c) {
  const Scene scene(c, 0, 3);
  const Value s = scene.scores();
  // A row that sees nothing is -inf throughout: its exponentials become zeros, not NaN.
  const Value largest = stop_gradient(max_over(s, {3}));
  const Value shift = where(equal(largest, -kInfinity), 0.0, largest);
  const Value e = exp(s - shift);
  const Value sum = sum_over(e, {3});
  const Value blind = equal(sum, 0.0);
  // Zeros by 1 are zeros, by their sum NaN.
  const Value divisor = scene.attributes.nan_where_blind ? sum : where(blind, 1.0, sum);
  const Value out = scene.ungrouped(matmul(scene.grouped(scene.dropped(e / divisor)), scene.v));
  const Value lse = where(blind, -kInfinity, shift + log(divisor));
  return {scene.as_query(out, c.in(0).dtype()),
          reshape(lse, {scene.batch, scene.heads, scene.queries})};
}

// What flows back through a row: P from the scores and lse, then Dao et al., algorithm 4.
struct Backward {
  Value dq, dk, dv, dscores;  // in the type of the sums

  // `dout` like out, `correction` [batch, heads, queries, 1]: Σ dout · out over the row, less the
  // gradient of lse.
  Backward(const Scene& scene, Value dout, Value lse, Value correction) {
    const Value column = reshape(lse, {scene.batch, scene.heads, scene.queries, 1});
    const Value p = exp(scene.scores() - where(equal(column, -kInfinity), 0.0, column));
    const Value g = scene.grouped(dout);
    const Value dp = scene.dropped(scene.ungrouped(matmul(g, scene.v, {.transpose_b = true})));
    dscores = p * (dp - correction);
    const Value rows = scene.grouped(dscores);
    dq = scene.ungrouped(matmul(rows, scene.k)) * scene.scale();
    dk = matmul(rows, scene.grouped(scene.q * scene.scale()), {.transpose_a = true});
    dv = matmul(scene.grouped(scene.dropped(p)), g, {.transpose_a = true});
  }
};

std::vector<Value> attention_gradient(OpCall& c, absl::Span<const Value> gradients) {
  const Value dout = gradients[0], dlse = gradients[1];
  const auto operand = [&](int i) { return c.has(i) ? c.in(i) : Value(); };
  const bool added_mask = c.has(3) && c.in(3).dtype() != DType::kBool;
  Value dq, dk, dv, dmask;
  if (dlse.is_null()) {
    const std::vector<Value> all = emit_outputs(
        "attention_grad", 3,
        {dout, c.in(0), c.in(1), c.in(2), c.out(0), c.out(1), operand(3), operand(4), operand(5)},
        c.attributes);
    dq = all[0], dk = all[1], dv = all[2];
    if (!added_mask) return {dq, dk, dv, Value(), Value(), Value()};
  }
  // Second derivatives, losses on lse, and masks that are learned: in simpler ops. Those that
  // nothing uses disappear.
  const Scene scene(c, 0, 3);
  const Value out = scene.in_query(c.out(0));
  const Value wide = dout.is_null() ? zeros_like(out) : scene.in_query(dout);
  Value correction = sum_over(wide * out, {3});
  if (!dlse.is_null()) correction = correction - reshape(dlse, correction.shape());
  const Backward back(scene, wide, c.out(1), correction);
  if (!dlse.is_null()) {
    dq = scene.as_query(back.dq, c.in(0).dtype());
    dk = scene.as_key(back.dk, c.in(1).dtype());
    dv = scene.as_key(back.dv, c.in(2).dtype());
  }
  if (added_mask) dmask = as_dtype(sum_to(back.dscores, c.in(3).shape()), c.in(3).dtype());
  return {dq, dk, dv, dmask, Value(), Value()};
}

OpSample sample(const char* name, std::vector<TensorType> inputs,
                AttentionAttributes attributes = {}, double tolerance = 2e-5) {
  OpSample s;
  s.name = name;
  s.inputs = std::move(inputs);
  s.attributes = Attributes::of(attributes);
  s.tolerance = tolerance;
  return s;
}

std::vector<OpSample> attention_samples() {
  const Dim batch = Dim::symbol("batch"), keys = Dim::symbol("keys");
  const TensorType none;
  const TensorType square = f32({1, 2, 5, 4});
  std::vector<OpSample> samples = {
      sample("plain", {square, square, square}),
      sample("cross", {f32({2, 1, 3, 4}), f32({2, 1, 6, 4}), f32({2, 1, 6, 2})}),
      sample("causal", {square, square, square}, {.is_causal = true}),
      sample("causal_cross", {f32({1, 2, 3, 4}), f32({1, 2, 5, 4}), f32({1, 2, 5, 4})},
             {.is_causal = true}),
      sample("scale", {square, square, square}, {.scale = 0.25}),
      sample("bool_mask", {square, square, square, boolean({5, 5})}),
      sample("nan_where_blind", {square, square, square, boolean({5, 5})},
             {.nan_where_blind = true}),
      sample("added_mask", {square, square, square, f32({2, 1, 5})}),
      sample("grouped", {f32({2, 4, 3, 4}), f32({2, 2, 3, 4}), f32({2, 2, 3, 4})},
             {.is_causal = true}),
      sample("lengths", {f32({3, 2, 1, 4}), f32({3, 2, 6, 4}), f32({3, 2, 6, 4}), none, i64({3})}),
      // Rows that see nothing: lse is infinite, so differences of it say nothing.
      sample("lengths_zero",
             {f32({6, 1, 2, 4}), f32({6, 1, 2, 4}), f32({6, 1, 2, 4}), none, i64({6})},
             {.is_causal = true}),
      sample("lengths_causal",
             {f32({3, 2, 2, 4}), f32({3, 2, 6, 4}), f32({3, 2, 6, 4}), none, i64({3})},
             {.is_causal = true}),
      sample("dropout", {square, square, square, none, none, random_key_type()},
             {.dropout_p = 0.25, .stream = 7}),
      sample("dropout_all", {square, square, square, none, none, random_key_type()},
             {.dropout_p = 1.0, .stream = 7}),
      sample("f16", {f16({1, 2, 4, 8}), f16({1, 2, 4, 8}), f16({1, 2, 4, 8})}, {.is_causal = true},
             4e-3),
      sample("tiles", {f32({1, 1, 70, 16}), f32({1, 1, 70, 16}), f32({1, 1, 70, 16})},
             {.is_causal = true}),
      sample("positions_first",
             {f32({2, 3, 4, 8}), f32({2, 5, 2, 8}), f32({2, 5, 2, 6}), f32({2, 4, 3, 5})},
             {.query_layout = "BSHD", .key_layout = "BSHD"}),
      sample("cached_keys", {f32({2, 3, 2, 4}), f32({2, 2, 5, 4}), f32({2, 2, 5, 4})},
             {.is_causal = true, .query_layout = "BSHD"}),
      sample("symbolic",
             {f32({batch, 2, 3, 4}), f32({batch, 2, keys, 4}), f32({batch, 2, keys, 4})})};
  samples.back().binding = {{"batch", 2}, {"keys", 5}};
  for (OpSample& s : samples) {
    s.low = -1, s.high = 1;
    if (s.name == "bool_mask") s.domains = {{3, 0, 1}};
    if (s.name == "nan_where_blind") s.domains = {{3, 1, 1}};  // no query is
    if (s.name == "lengths" || s.name == "lengths_causal") s.domains = {{4, 2, 6}};
    if (s.name == "lengths_zero") s.domains = {{4, 0, 2}}, s.check_gradient = false;
    if (s.name == "dropout" || s.name == "dropout_all") s.domains = {{5, 0, 1000}};
  }
  return samples;
}

// attention_grad(dout, q, k, v, out, lse, mask?, lengths?, key?) -> dq, dk, dv

absl::Status infer_attention_grad(InferenceContext& c) {
  MODELLIB_RETURN_IF_ERROR(check_operands(c, 1, 6));
  const TensorType &q = c.input(1), &k = c.input(2), &v = c.input(3);
  const Shape shape = attention_shape(q.shape, c.attributes.as<AttentionAttributes>().query_layout);
  Shape out = q.shape;
  out[3] = v.shape[3];
  for (int i : {0, 4}) {
    MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 1, i));
    MODELLIB_RETURN_IF_ERROR(require_shape(c, i, out, i == 0 ? "dout" : "out"));
  }
  MODELLIB_RETURN_IF_ERROR(require_dtype(c, 5, accumulation_type(q.dtype)));
  MODELLIB_RETURN_IF_ERROR(require_shape(c, 5, {shape[0], shape[1], shape[2]}, "lse"));
  c.outputs = {q, k, v};
  return absl::OkStatus();
}

std::vector<Value> decompose_attention_grad(OpCall& c) {
  const Scene scene(c, 1, 6);
  const Value dout = scene.in_query(c.in(0));
  const Backward back(scene, dout, c.in(5), sum_over(dout * scene.in_query(c.in(4)), {3}));
  const DType dtype = c.in(1).dtype();
  return {scene.as_query(back.dq, dtype), scene.as_key(back.dk, dtype),
          scene.as_key(back.dv, dtype)};
}

std::vector<OpSample> attention_grad_samples() {
  // lse is larger than a true one could be, so that no probability is above 1.
  std::vector<OpSample> samples = attention_samples();
  for (OpSample& s : samples) {
    const TensorType q = s.inputs[0], v = s.inputs[2];
    const Shape shape =
        attention_shape(q.shape, s.attributes.as<AttentionAttributes>().query_layout);
    TensorType out = q;
    out.shape[3] = v.shape[3];
    const TensorType lse = {accumulation_type(q.dtype), {shape[0], shape[1], shape[2]}};
    s.inputs.insert(s.inputs.begin(), out);
    s.inputs.insert(s.inputs.begin() + 4, {out, lse});
    for (OpSample::Domain& d : s.domains) d.input += 3;
    s.domains.push_back({5, 3.0, 5.0});
  }
  return samples;
}

}  // namespace

std::vector<OpDef> attention_ops() {
  OpDef forward =
      composite("attention", 3, 6, infer_attention, decompose_attention, attention_samples);
  forward.differentiable = OpDef::Gradient::kRule;
  forward.gradient = attention_gradient;
  std::vector<OpDef> ops = {forward, composite("attention_grad", 6, 9, infer_attention_grad,
                                               decompose_attention_grad, attention_grad_samples)};
  for (OpDef& op : ops) op.attributes = AttributesSchema::of<AttentionAttributes>();
  return ops;
}

Shape attention_shape(const Shape& shape, const std::string& layout) {
  Shape ordered = shape;
  if (layout == "BSHD") std::swap(ordered[1], ordered[2]);
  return ordered;
}

AttentionOutputs attention_with_lse(Value q, Value k, Value v, AttentionAttributes attributes,
                                    const AttentionOperands& operands) {
  if (attributes.dropout_p > 0 && attributes.stream < 0 && !q.is_null()) {
    attributes.stream = q.builder()->next_random_stream();
  }
  const std::vector<Value> outputs =
      emit_outputs("attention", 2, {q, k, v, operands.mask, operands.lengths, operands.key},
                   Attributes::of(attributes));
  return {outputs[0], outputs[1]};
}

Value attention(Value q, Value k, Value v, AttentionAttributes attributes,
                const AttentionOperands& operands) {
  return attention_with_lse(q, k, v, attributes, operands).out;
}

Value rotary_embedding(Value x, Value positions, double base, bool interleaved) {
  if (!usable("rotary_embedding", {x, positions})) return poisoned({x, positions});
  GraphBuilder& b = *builder_of({x, positions});
  const Dim size = x.dim(-1);
  if (x.rank() != 4 || !is_real(x.dtype()) || !size.is_static() || size.value() % 2 != 0 ||
      positions.rank() < 1 || positions.rank() > 2 || positions.dtype() != DType::kI64) {
    return b.poison(absl::InvalidArgumentError(absl::StrCat(
        "rotary_embedding: expected x [batch, heads, positions, even size] and i64 positions "
        "[positions] or [batch, positions], got ",
        to_string(x.type()), " and ", to_string(positions.type()))));
  }
  if (!(base > 0)) {
    return b.poison(absl::InvalidArgumentError(
        absl::StrCat("rotary_embedding: base must be positive, is ", base)));
  }
  const Shape rows = positions.rank() == 1 ? Shape{x.dim(2)} : Shape{x.dim(0), x.dim(2)};
  positions = with_shape(positions, rows, "rotary_embedding: positions");
  if (positions.is_poisoned()) return positions;
  const Value wide = widened(x);
  const int64_t half = size.value() / 2;
  absl::StatusOr<Tensor> rates = Tensor::zeros(wide.dtype(), {half});
  if (!rates.ok()) return b.poison(rates.status());
  for (int64_t i = 0; i < half; ++i) {
    rates->set(i, std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(2 * half)));
  }
  // [batch or 1, 1, positions, half]
  Shape column = {positions.rank() == 2 ? positions.dim(0) : Dim(1), 1, positions.dim(-1), 1};
  const Value angles =
      reshape(cast(positions, wide.dtype()), std::move(column)) * b.constant(*std::move(rates));
  const Value cosine = cos(angles), sine = sin(angles);

  Shape shape = x.shape();
  Value first, second;
  if (interleaved) {
    const Value pairs = reshape(wide, {shape[0], shape[1], shape[2], half, 2});
    first = squeeze(slice_axis(pairs, 4, 0, 1), {4});
    second = squeeze(slice_axis(pairs, 4, 1, 2), {4});
  } else {
    first = slice_axis(wide, 3, 0, half);
    second = slice_axis(wide, 3, half, 2 * half);
  }
  const Value turned_first = first * cosine - second * sine;
  const Value turned_second = second * cosine + first * sine;
  const Value turned = interleaved
                           ? reshape(stack({turned_first, turned_second}, 4), std::move(shape))
                           : concat({turned_first, turned_second}, 3);
  return as_dtype(turned, x.dtype());
}

}  // namespace modellib
