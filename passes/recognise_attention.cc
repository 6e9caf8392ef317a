// Attention: a product of queries and keys, scaled and masked, a softmax, and a product with
// values.
#include "modellib/ops/attention.h"

#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "modellib/graph/op_def.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"
#include "modellib/ops/softmax.h"
#include "modellib/passes/recognise_rules.h"

namespace modellib::recognise_rules {
namespace {

using pattern::any;
using pattern::either;
using pattern::number;
using pattern::op;

// The scores of what `where` hides. A finite one hides only if adding it leaves nothing of a score:
// then a row that sees no key has equal probabilities, added or selected. -1e9 does not: an f32
// beside it is rounded to multiples of 64, so that larger scores would show.
constexpr double kLeastHiding = -1e30;

absl::Status unlike(absl::string_view what) { return absl::FailedPreconditionError(what); }

// Whether operands [batch, heads, rows, size] or [batch, rows, size] have the same batch and heads.
absl::Status check_leading(const Found& f) {
  const Shape &q = f.type("q").shape, &k = f.type("k").shape, &v = f.type("v").shape;
  if (q.size() != 3 && q.size() != 4) return unlike("its operands are not of rank 3 or 4");
  if (k.size() != q.size() || v.size() != q.size()) return unlike("its operands differ in rank");
  for (size_t i = 0; i + 2 < q.size(); ++i) {
    if (!(q[i] == k[i]) || !(q[i] == v[i])) return unlike("its products broadcast");
  }
  if (q.size() == 4 && !q[1].is_static()) return unlike("the number of heads is free");
  return absl::OkStatus();
}

// As [batch, heads, rows, size].
Value with_heads(Value x) { return x.rank() == 3 ? unsqueeze(x, {1}) : x; }
Value transposed(Value x) {
  return x.rank() == 3 ? transpose(x, {0, 2, 1}) : transpose(x, {0, 1, 3, 2});
}

// Broadcasts to [batch, heads, queries, keys]; null if there is none.
Value mask_of(const Found& f) {
  Value mask;
  if (f.has("fill")) {
    const bool selects = f.has("mask");
    const Value seen = selects ? f["mask"] : logical_not(f["hidden"]);
    const double fill = f.number("fill");
    if (std::isinf(fill) && !f.has("bias")) {
      mask = seen;
    } else {
      const DType dtype = f.type("qk").dtype;
      const Value hiding = f.site.builder.scalar(fill, dtype);
      // The bias is added to what is hidden too.
      mask = f.has("bias") ? where(seen, f["bias"], f["bias"] + hiding)
                           : where(seen, f.site.builder.scalar(0, dtype), hiding);
    }
  } else if (f.has("bias")) {
    mask = f["bias"];
  }
  // A mask of rank 3 broadcasts along [batch, queries, keys] where the scores are of rank 3.
  return !mask.is_null() && f.type("qk").rank() == 3 && mask.rank() == 3 ? unsqueeze(mask, {1})
                                                                         : mask;
}

absl::StatusOr<Value> build_attention(const Found& f) {
  const auto& scores = f.node("qk").attributes.as<MatmulAttributes>();
  const auto& mixing = f.graph().node(f.graph().value(f.match.root).producer);
  const auto& values = mixing.attributes.as<MatmulAttributes>();
  if (scores.transpose_a || values.transpose_a) return unlike("queries are read transposed");
  if (scores.accumulate.has_value() || values.accumulate.has_value()) {
    return unlike("its products have an accumulation type of their own");
  }
  if (absl::Status s = check_leading(f); !s.ok()) return s;
  if (!(f.type("scores") == f.type("qk"))) return unlike("the mask widens the scores");
  const int64_t axis = f.node("p").attributes.as<SoftmaxAttributes>().axis;
  if (axis != -1 && axis != f.type("p").rank() - 1) {
    return unlike("the softmax does not run over the keys");
  }
  if (f.has("fill") && !(f.number("fill") <= kLeastHiding)) {
    return unlike(absl::StrCat("a score of ", f.number("fill"), " does not hide a key"));
  }
  AttentionAttributes attributes{.scale = 1.0, .nan_where_blind = !f.has("guarded")};
  if (f.has("scale")) attributes.scale = f.number("scale");
  if (f.has("divisor")) attributes.scale = 1.0 / f.number("divisor");
  const Value k = scores.transpose_b ? f["k"] : transposed(f["k"]);
  const Value v = values.transpose_b ? transposed(f["v"]) : f["v"];
  const Value out =
      attention(with_heads(f["q"]), with_heads(k), with_heads(v), attributes, {.mask = mask_of(f)});
  return f.result().rank() == 3 ? squeeze(out, {1}) : out;
}

Pattern attention_pattern() {
  const Pattern qk = op("matmul", {any("q"), any("k")}).as("qk");
  const Pattern scaled =
      either({op("mul", {qk, number().as("scale")}), op("div", {qk, number().as("divisor")}), qk});
  const Pattern hidden =
      either({op("where", {any("mask"), scaled, number().as("fill")}),
              op("where", {any("hidden"), number().as("fill"), scaled}), scaled});
  const Pattern scores = either({op("add", {hidden, any("bias")}), hidden}).as("scores");
  const Pattern softmax = op("softmax", {scores}).as("p");
  // A row that sees no key has NaN, for which PyTorch's exporter puts zeros. It puts them for every
  // NaN; the composite lets those of its operands through (recognise.h).
  const Pattern guarded = op("where", {op("is_nan", {softmax}), number(0), softmax});
  return op("matmul", {either({softmax, guarded.as("guarded")}), any("v")});
}

}  // namespace

// Every product of a softmax with something is a near miss.
std::vector<Rule> attention_rules() {
  return {{"attention", attention_pattern(), build_attention, 4}};
}

}  // namespace modellib::recognise_rules
