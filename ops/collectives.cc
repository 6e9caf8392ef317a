#include "modellib/ops/collectives.h"

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

absl::Status infer_all_reduce(InferenceContext& c) {
  const std::string& op = c.attributes.as<AllReduceAttributes>().op;
  if (op != "sum" && op != "product" && op != "min" && op != "max") {
    return absl::InvalidArgumentError(
        absl::StrCat("op '", op, "' is none of sum, product, min and max"));
  }
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}

absl::Status infer_rooted(InferenceContext& c) {
  const int64_t root = c.attributes.as<RootAttributes>().root;
  if (root < 0) return absl::InvalidArgumentError(absl::StrCat("root is rank ", root));
  MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  c.outputs.push_back(c.input(0));
  return absl::OkStatus();
}

template <bool gathers>
absl::Status infer_shard(InferenceContext& c) {
  const auto& a = c.attributes.as<ShardAttributes>();
  MODELLIB_ASSIGN_OR_RETURN(const int axis, normal_axis(a.axis, c.input(0).rank()));
  if (a.ranks < 1) return absl::InvalidArgumentError(absl::StrCat(a.ranks, " ranks"));
  if (!gathers) MODELLIB_RETURN_IF_ERROR(require_number(c, 0));
  TensorType out = c.input(0);
  Dim& extent = out.shape[static_cast<size_t>(axis)];
  if (gathers) {
    extent = extent * a.ranks;
  } else {
    const Dim part = extent / a.ranks;
    MODELLIB_RETURN_IF_ERROR(c.require_equal(
        part * a.ranks, extent, absl::StrCat("axis ", axis, " is cut into ", a.ranks, " parts")));
    extent = part;
  }
  c.outputs.push_back(std::move(out));
  return absl::OkStatus();
}

// With one rank every collective is the identity.
absl::Status reference_alone(ReferenceContext& c) {
  c.out(0) = c.in(0);
  return absl::OkStatus();
}

// What the root has, and zeros at the others.
std::vector<Value> decompose_reduce_to(OpCall& c) {
  const Value sum = all_reduce(c.in(0));
  const Value root =
      c.builder.scalar(static_cast<double>(c.attributes.as<RootAttributes>().root), DType::kI64);
  return {where(equal(rank_index(c.builder), root), sum, zeros_like(sum))};
}

absl::Status reference_rooted(ReferenceContext& c) {
  const int64_t root = c.attributes.as<RootAttributes>().root;
  if (root != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("root is rank ", root, "; the reference executor is one rank"));
  }
  return reference_alone(c);
}

absl::Status reference_shard(ReferenceContext& c) {
  const int64_t ranks = c.attributes.as<ShardAttributes>().ranks;
  if (ranks != 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("a graph for ", ranks, " ranks; the reference executor is one"));
  }
  return reference_alone(c);
}

std::vector<Value> gradient_all_reduce(OpCall& c, absl::Span<const Value> g) {
  const std::string& op = c.attributes.as<AllReduceAttributes>().op;
  if (op != "sum") {
    return {c.builder.poison(absl::InvalidArgumentError(
        absl::StrCat("an all_reduce by ", op, " cannot be differentiated")))};
  }
  return {all_reduce(g[0], c.attributes.as<AllReduceAttributes>())};
}
std::vector<Value> gradient_broadcast(OpCall& c, absl::Span<const Value> g) {
  return {reduce_to(g[0], c.attributes.as<RootAttributes>())};
}
// The gradient of what every rank contributed is that at the root; other ranks' results are
// constants.
std::vector<Value> gradient_reduce_to(OpCall& c, absl::Span<const Value> g) {
  return {broadcast(g[0], c.attributes.as<RootAttributes>())};
}
std::vector<Value> gradient_all_gather(OpCall& c, absl::Span<const Value> g) {
  return {reduce_scatter(g[0], c.attributes.as<ShardAttributes>())};
}
std::vector<Value> gradient_reduce_scatter(OpCall& c, absl::Span<const Value> g) {
  return {all_gather(g[0], c.attributes.as<ShardAttributes>())};
}

template <class A>
std::vector<OpSample> samples() {
  OpSample vector{.name = "vector", .inputs = {f32({5})}, .attributes = Attributes::of(A{})};
  OpSample matrix{.name = "matrix",
                  .inputs = {f32({Dim::symbol("batch"), 4})},
                  .attributes = Attributes::of(A{}),
                  .binding = {{"batch", 3}}};
  return {vector, matrix};
}

template <class A>
OpDef definition(const char* name, decltype(OpDef::infer) infer,
                 decltype(OpDef::reference) reference, decltype(OpDef::gradient) gradient) {
  OpDef op;
  op.name = name;
  op.attributes = AttributesSchema::of<A>();
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples<A>;
  op.pure = false;
  return op;
}

}  // namespace

std::vector<OpDef> collective_ops() {
  OpDef reduce_to =
      definition<RootAttributes>("reduce_to", infer_rooted, nullptr, gradient_reduce_to);
  reduce_to.kind = OpDef::Kind::kComposite;
  reduce_to.decompose = decompose_reduce_to;
  return {
      definition<AllReduceAttributes>("all_reduce", infer_all_reduce, reference_alone,
                                      gradient_all_reduce),
      definition<RootAttributes>("broadcast", infer_rooted, reference_rooted, gradient_broadcast),
      reduce_to,
      definition<ShardAttributes>("all_gather", infer_shard<true>, reference_shard,
                                  gradient_all_gather),
      definition<ShardAttributes>("reduce_scatter", infer_shard<false>, reference_shard,
                                  gradient_reduce_scatter)};
}

namespace {

// More ranks than any machine has.
constexpr int64_t kMaxRanks = int64_t{1} << 20;

Value bound_by_session(GraphBuilder& builder, const char* symbol, DimRange range) {
  builder.set_range(symbol, range);
  return dim_value(builder, Dim::symbol(symbol));
}

}  // namespace

Value rank_index(GraphBuilder& builder) {
  return bound_by_session(builder, "$rank", {0, kMaxRanks - 1});
}
Value world_size(GraphBuilder& builder) {
  return bound_by_session(builder, "$world", {1, kMaxRanks});
}

Value all_reduce_mean(Value x) {
  const Value sum = all_reduce(x);
  if (x.is_null() || x.is_poisoned()) return sum;
  return sum / world_size(*x.builder()).to(x.dtype());
}

Value all_reduce(Value x, AllReduceAttributes a) {
  return emit_op_one("all_reduce", {x}, Attributes::of(std::move(a)));
}
Value broadcast(Value x, RootAttributes a) {
  return emit_op_one("broadcast", {x}, Attributes::of(a));
}
Value reduce_to(Value x, RootAttributes a) {
  return emit_op_one("reduce_to", {x}, Attributes::of(a));
}
Value all_gather(Value x, ShardAttributes a) {
  return emit_op_one("all_gather", {x}, Attributes::of(a));
}
Value reduce_scatter(Value x, ShardAttributes a) {
  return emit_op_one("reduce_scatter", {x}, Attributes::of(a));
}

}  // namespace modellib
