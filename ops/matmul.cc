#include "modellib/ops/matmul.h"

#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/sum_to.h"

namespace modellib {
namespace {

template <class Extents>
struct Matrices {
  Extents batch_a, batch_b;
  typename Extents::value_type m, k, k_of_b, n;
};

template <class Extents>
Matrices<Extents> matrices(const Extents& a, const Extents& b, const MatmulAttributes& t) {
  const size_t i = a.size() - 2, j = b.size() - 2;
  return {Extents(a.begin(), a.end() - 2), Extents(b.begin(), b.end() - 2),
          a[t.transpose_a ? i + 1 : i],    a[t.transpose_a ? i : i + 1],
          b[t.transpose_b ? j + 1 : j],    b[t.transpose_b ? j : j + 1]};
}

absl::Status infer(InferenceContext& c) {
  const auto& t = c.attributes.as<MatmulAttributes>();
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  MODELLIB_RETURN_IF_ERROR(require_same_dtype(c, 0, 1));
  if (c.input(0).rank() < 2 || c.input(1).rank() < 2) {
    return absl::InvalidArgumentError("operands must have at least two axes");
  }
  const auto x = matrices(c.input(0).shape, c.input(1).shape, t);
  MODELLIB_RETURN_IF_ERROR(c.require_equal(x.k, x.k_of_b, "the axes that are summed over"));
  MODELLIB_ASSIGN_OR_RETURN(Shape shape, broadcast_shapes(c, x.batch_a, x.batch_b));
  shape.push_back(x.m);
  shape.push_back(x.n);
  c.outputs.push_back({c.input(0).dtype, std::move(shape)});
  return absl::OkStatus();
}

// Sums in f64 (integers modulo 2^64), rounded once.
absl::Status reference(ReferenceContext& c) {
  const auto& t = c.attributes.as<MatmulAttributes>();
  const Tensor &a = c.in(0), &b = c.in(1);
  const auto x = matrices(a.shape(), b.shape(), t);
  const bool real = is_floating(a.dtype());
  const auto& shape = c.out(0).shape();
  int64_t out = 0;
  for_each_index({shape.data(), shape.size() - 2}, [&](absl::Span<const int64_t> batch) {
    const int64_t a0 = broadcast_offset(batch, x.batch_a) * x.m * x.k;
    const int64_t b0 = broadcast_offset(batch, x.batch_b) * x.k * x.n;
    for (int64_t i = 0; i < x.m; ++i) {
      for (int64_t j = 0; j < x.n; ++j) {
        double sum = 0;
        uint64_t whole = 0;
        for (int64_t k = 0; k < x.k; ++k) {
          const int64_t p = a0 + (t.transpose_a ? k * x.m + i : i * x.k + k);
          const int64_t q = b0 + (t.transpose_b ? j * x.k + k : k * x.n + j);
          if (real) {
            sum += a.at(p) * b.at(q);
          } else {
            whole += static_cast<uint64_t>(a.int_at(p)) * static_cast<uint64_t>(b.int_at(q));
          }
        }
        if (real) {
          c.out(0).set(out++, sum);
        } else {
          c.out(0).set_int(out++, static_cast<int64_t>(whole));
        }
      }
    }
  });
  return absl::OkStatus();
}

Value rows(Value x) {
  return reshape(x, {element_count({x.shape().data(), x.shape().size() - 1}), x.dim(-1)});
}

std::vector<Value> gradient(OpCall& c, absl::Span<const Value> gs) {
  const auto& t = c.attributes.as<MatmulAttributes>();
  Value a = c.in(0), b = c.in(1), g = gs[0];
  const auto product = [&](Value x, bool tx, Value y, bool ty) {
    return matmul(x, y, {.transpose_a = tx, .transpose_b = ty, .accumulate = t.accumulate});
  };
  const Value da =
      t.transpose_a ? product(b, t.transpose_b, g, true) : product(g, false, b, !t.transpose_b);
  // One product over all rows, rather than a sum of many, where b is one matrix.
  const bool flat = b.rank() == 2 && a.rank() > 2 && !t.transpose_a;
  const Value left = flat ? rows(a) : a, right = flat ? rows(g) : g;
  const Value db = t.transpose_b ? product(right, true, left, t.transpose_a)
                                 : product(left, !t.transpose_a, right, false);
  return {sum_to(da, a.shape()), sum_to(db, b.shape())};
}

std::vector<OpSample> samples() {
  const auto sample = [](const char* name, TensorType a, TensorType b, MatmulAttributes attributes,
                         double tolerance = 1e-5) {
    OpSample s;
    s.name = name;
    s.inputs = {std::move(a), std::move(b)};
    s.attributes = Attributes::of(attributes);
    s.binding = {{"batch", 3}};
    s.tolerance = tolerance;
    return s;
  };
  const Dim batch = Dim::symbol("batch");
  return {sample("nn", f32({5, 7}), f32({7, 3}), {}),
          sample("tn", f32({7, 5}), f32({7, 3}), {.transpose_a = true}),
          sample("nt", f32({5, 7}), f32({3, 7}), {.transpose_b = true}),
          sample("tt", f32({7, 5}), f32({3, 7}), {.transpose_a = true, .transpose_b = true}),
          sample("batched", f32({2, 3, 4, 5}), f32({2, 3, 5, 2}), {}),
          sample("broadcast", f32({2, 1, 4, 5}), f32({3, 5, 2}), {}),
          sample("broadcast_t", f32({3, 5, 4}), f32({2, 1, 2, 5}),
                 {.transpose_a = true, .transpose_b = true}),
          sample("weights", f32({2, 4, 5}), f32({3, 5}), {.transpose_b = true}),
          sample("weights_t", f32({2, 5, 4}), f32({5, 3}), {.transpose_a = true}),
          sample("symbolic", f32({batch, 8}), f32({8, 6}), {}),
          sample("symbolic_batch", f32({batch, 4, 5}), f32({batch, 5, 2}), {}),
          sample("larger", f32({33, 70}), f32({70, 45}), {}),
          sample("one_row", f32({1, 40}), f32({40, 35}), {}),
          sample("f64", f64({4, 5}), f64({5, 3}), {}, 1e-12),
          sample("f16", f16({4, 5}), f16({5, 3}), {}, 4e-3),
          sample("bf16", bf16({4, 5}), bf16({5, 3}), {}, 3e-2),
          sample("i32", i32({4, 5}), i32({5, 3}), {}, 0)};
}

}  // namespace

std::vector<OpDef> matmul_ops() {
  OpDef op;
  op.name = "matmul";
  op.attributes = AttributesSchema::of<MatmulAttributes>();
  op.min_inputs = op.max_inputs = 2;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples;
  return {op};
}

Value matmul(Value a, Value b, MatmulAttributes attributes) {
  return emit_op_one("matmul", {a, b}, Attributes::of(attributes));
}

}  // namespace modellib
