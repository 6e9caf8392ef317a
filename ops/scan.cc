// scan: a loop with a known number of trips.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/control.h"
#include "modellib/ops/control_support.h"
#include "modellib/ops/families.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"

namespace modellib {
namespace {

TensorType slice_type(const TensorType& stacked) {
  return {stacked.dtype, Shape(stacked.shape.begin() + 1, stacked.shape.end())};
}

absl::Status infer(InferenceContext& c) {
  const auto& a = c.attributes.as<ScanAttributes>();
  if (a.trips.size() != 1) return absl::InvalidArgumentError("trips must be one extent");
  if (a.trips[0].is_static() && a.trips[0].value() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(a.trips[0].to_string(), " trips"));
  }
  const auto given = static_cast<int64_t>(c.inputs.size());
  if (a.carries < 0 || a.xs < 0 || a.carries > given || a.xs > given - a.carries) {
    return absl::InvalidArgumentError(
        absl::StrCat(a.carries, " carries and ", a.xs, " xs of ", given, " operands"));
  }
  std::vector<TensorType> types = {i64({})};
  for (int i = 0; i < static_cast<int>(given); ++i) {
    if (!c.has(i)) return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is absent"));
    const bool stacked = i >= a.carries && i < a.carries + a.xs;
    if (stacked) {
      if (c.input(i).rank() < 1) {
        return absl::InvalidArgumentError(absl::StrCat("operand ", i, " has no axis of trips"));
      }
      MODELLIB_RETURN_IF_ERROR(c.require_equal(a.trips[0], c.input(i).shape[0],
                                               absl::StrCat("trips and axis 0 of operand ", i)));
    }
    types.push_back(stacked ? slice_type(c.input(i)) : c.input(i));
  }
  MODELLIB_RETURN_IF_ERROR(require_region(c, a.body, "body", types));
  const auto outputs = static_cast<int64_t>(a.body->outputs().size());
  if (outputs < a.carries) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body gives ", outputs, " values for ", a.carries, " carries"));
  }
  for (int64_t i = 0; i < outputs; ++i) {
    TensorType type = output_type(*a.body, static_cast<size_t>(i));
    if (i < a.carries) {
      type = c.input(static_cast<int>(i));
      MODELLIB_RETURN_IF_ERROR(require_type(c, type, output_type(*a.body, static_cast<size_t>(i)),
                                            absl::StrCat("carry ", i, " after a trip")));
    } else {
      type.shape.insert(type.shape.begin(), a.trips[0]);
    }
    c.outputs.push_back(std::move(type));
  }
  return absl::OkStatus();
}

// Slice `i` along axis 0.
absl::StatusOr<Tensor> slice_at(const Tensor& stacked, int64_t i) {
  const std::vector<int64_t> shape(stacked.shape().begin() + 1, stacked.shape().end());
  MODELLIB_ASSIGN_OR_RETURN(Tensor slice, Tensor::zeros(stacked.dtype(), shape));
  for (int64_t k = 0; k < slice.elements(); ++k) {
    copy_element(stacked, i * slice.elements() + k, slice, k);
  }
  return slice;
}

absl::Status reference(ReferenceContext& c) {
  const auto& a = c.attributes.as<ScanAttributes>();
  MODELLIB_ASSIGN_OR_RETURN(const int64_t trips, a.trips[0].evaluate(c.binding));
  const auto carries = static_cast<size_t>(a.carries), xs = static_cast<size_t>(a.xs);
  std::vector<Tensor> carried(c.inputs.begin(), c.inputs.begin() + a.carries);
  for (int64_t trip = 0; trip < trips; ++trip) {
    const int64_t i = a.reverse ? trips - 1 - trip : trip;
    std::vector<Tensor> inputs = {Tensor::scalar<int64_t>(i)};
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    for (size_t x = 0; x < xs; ++x) {
      MODELLIB_ASSIGN_OR_RETURN(Tensor slice, slice_at(c.inputs[carries + x], i));
      inputs.push_back(std::move(slice));
    }
    inputs.insert(inputs.end(), c.inputs.begin() + static_cast<int64_t>(carries + xs),
                  c.inputs.end());
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, c.run(*a.body, inputs));
    for (size_t o = 0; o < carries; ++o) carried[o] = outputs[o];
    for (size_t o = carries; o < outputs.size(); ++o) {
      const Tensor& slice = outputs[o];
      for (int64_t k = 0; k < slice.elements(); ++k) {
        copy_element(slice, k, c.outputs[o], i * slice.elements() + k);
      }
    }
  }
  for (size_t o = 0; o < carries; ++o) c.outputs[o] = carried[o];
  return absl::OkStatus();
}

// The operands of a scan by their roles.
struct Parts {
  std::vector<Value> carries, xs, captured;
};
Parts parts_of(const OpCall& c, const ScanAttributes& a) {
  const auto at = c.inputs.begin();
  return {std::vector<Value>(at, at + a.carries),
          std::vector<Value>(at + a.carries, at + a.carries + a.xs),
          std::vector<Value>(at + a.carries + a.xs, c.inputs.end())};
}

// The carries as each trip of the forward scan found them, stacked.
std::vector<Value> carries_before(OpCall& c, const ScanAttributes& a, const Parts& parts) {
  const ScanValues forward =
      scan(c.builder, a.trips[0], parts.carries, parts.xs,
           [&](GraphBuilder& b, Value index, absl::Span<const Value> carries,
               absl::Span<const Value> xs) {
             std::vector<Value> inputs = {index};
             inputs.insert(inputs.end(), carries.begin(), carries.end());
             inputs.insert(inputs.end(), xs.begin(), xs.end());
             for (const Value& v : parts.captured) inputs.push_back(b.captured(v));
             std::vector<Value> outputs = b.inline_graph(*a.body, inputs).outputs;
             outputs.resize(carries.size());
             return ScanValues{std::move(outputs), {carries.begin(), carries.end()}};
           },
           {.reverse = a.reverse});
  return forward.ys;
}

Value or_zeros(const Value& g, const Value& like) { return g.is_null() ? zeros_like(like) : g; }

// A scan the other way. It carries the gradients of the real carries and, summed over the trips,
// those of the real captured values; it takes the xs, the carries before each trip and the
// gradients of the ys, and gives the gradients of the real xs.
std::vector<Value> gradient(OpCall& c, absl::Span<const Value> g) {
  const auto& a = c.attributes.as<ScanAttributes>();
  const Parts parts = parts_of(c, a);
  const std::vector<Value> before = carries_before(c, a, parts);
  // The body below counts on gradients of all that is real.
  const auto is_poisoned = [](const Value& v) { return v.is_poisoned(); };
  if (std::any_of(g.begin(), g.end(), is_poisoned) ||
      std::any_of(before.begin(), before.end(), is_poisoned)) {
    return std::vector<Value>(c.inputs.size(), c.builder.value(kNoValue));
  }
  const auto carries = static_cast<size_t>(a.carries), xs = static_cast<size_t>(a.xs);

  std::vector<Value> initial, stacked = parts.xs;
  for (size_t i = 0; i < carries; ++i) {
    if (is_real(parts.carries[i].dtype())) initial.push_back(or_zeros(g[i], parts.carries[i]));
  }
  const size_t real_carries = initial.size();
  for (const Value& v : parts.captured) {
    if (is_real(v.dtype())) initial.push_back(zeros_like(v));
  }
  stacked.insert(stacked.end(), before.begin(), before.end());
  std::vector<bool> has_slice;  // which ys have a gradient
  for (size_t i = carries; i < g.size(); ++i) {
    has_slice.push_back(!g[i].is_null());
    if (!g[i].is_null()) stacked.push_back(g[i]);
  }

  const auto body = [&](GraphBuilder& b, Value index, absl::Span<const Value> sums,
                        absl::Span<const Value> slices) {
    const auto x = slices.first(xs), carried = slices.subspan(xs, carries);
    std::vector<Value> inputs = {index}, upstream;
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    inputs.insert(inputs.end(), x.begin(), x.end());
    for (const Value& v : parts.captured) inputs.push_back(b.captured(v));
    size_t next_carry = 0, next_slice = xs + carries;
    for (const Value& v : carried)
      upstream.push_back(is_real(v.dtype()) ? sums[next_carry++] : Value());
    for (bool has : has_slice) upstream.push_back(has ? slices[next_slice++] : Value());

    const std::vector<Value> flowing = region_gradient(b, *a.body, inputs, upstream);
    ScanValues out;
    size_t next = 0;
    for (size_t i = 0; i < real_carries; ++i) out.carries.push_back(flowing[next++]);
    for (const Value& v : x) {
      if (is_real(v.dtype())) out.ys.push_back(flowing[next++]);
    }
    for (size_t i = real_carries; i < sums.size(); ++i) {
      out.carries.push_back(sums[i] + flowing[next++]);
    }
    return out;
  };
  const ScanValues backward =
      scan(c.builder, a.trips[0], initial, stacked, body, {.reverse = !a.reverse});

  std::vector<Value> result;
  size_t next_carry = 0, next_y = 0;
  const auto take = [](const std::vector<Value>& from, size_t& next, const Value& like) {
    return is_real(like.dtype()) && next < from.size() ? from[next++] : Value();
  };
  for (const Value& v : parts.carries) result.push_back(take(backward.carries, next_carry, v));
  for (const Value& v : parts.xs) result.push_back(take(backward.ys, next_y, v));
  for (const Value& v : parts.captured) result.push_back(take(backward.carries, next_carry, v));
  return result;
}

std::vector<OpSample> samples() {
  // h' = tanh(x_i + h * w), y_i = h' * w, and a counter that has no gradient.
  GraphBuilder b(builtin_ops(), "body");
  const Value i = b.input("i", i64({})), h = b.input("h", f32({2, 3})), n = b.input("n", i64({}));
  const Value x = b.input("x", f32({2, 3})), w = b.input("w", f32({3}));
  const Value next = tanh(x + h * w);
  b.output("h_next", next);
  b.output("n_next", n + i);
  b.output("y", next * w);
  const GraphRef body = *b.build();
  const auto sample = [&](const char* name, Dim trips, bool reverse) {
    OpSample s;
    s.name = name;
    s.inputs = {f32({2, 3}), i64({}), f32({trips, 2, 3}), f32({3})};
    s.attributes = Attributes::of(ScanAttributes{body, {trips}, 2, 1, reverse});
    s.binding = {{"seq", 3}};
    return s;
  };
  return {sample("forward", 4, false), sample("reverse", 4, true), sample("no_trips", 0, false),
          sample("symbolic", Dim::symbol("seq"), false)};
}

}  // namespace

std::vector<OpDef> scan_ops() {
  OpDef op;
  op.name = "scan";
  op.attributes = AttributesSchema::of<ScanAttributes>();
  op.min_inputs = 0;
  op.max_inputs = OpDef::kVariadic;
  op.infer = infer;
  op.reference = reference;
  op.differentiable = OpDef::Gradient::kRule;
  op.gradient = gradient;
  op.samples = samples;
  return {op};
}

ScanValues scan(GraphBuilder& builder, Dim trips, absl::Span<const Value> carries,
                absl::Span<const Value> xs, const ScanBody& body, ScanOptions options) {
  ScanValues result;
  std::vector<TensorType> types = {i64({})};
  for (const Value& v : carries) types.push_back(v.type());
  bool sound = true;
  for (const Value& v : xs) {
    if (v.rank() < 1) {
      sound = false;
      if (!builder.captured(v).is_poisoned()) {
        builder.poison(absl::InvalidArgumentError(
            absl::StrCat("scan over a value of type ", to_string(v.type()), ": no axis of trips")));
      }
    }
    types.push_back(v.rank() < 1 ? TensorType() : slice_type(v.type()));
  }
  size_t slices = 0;  // of the body, which runs after a mistake too: it says how many there are
  const GraphBuilder::Region region =
      builder.region("scan", types, [&](GraphBuilder& b, absl::Span<const Value> inputs) {
        ScanValues out = body(b, inputs[0], inputs.subspan(1, carries.size()),
                              inputs.subspan(1 + carries.size()));
        if (out.carries.size() != carries.size()) {
          b.poison(absl::InvalidArgumentError(absl::StrCat(
              "the body of a scan gives ", out.carries.size(), " carries for ", carries.size())));
        }
        slices = out.ys.size();
        out.carries.insert(out.carries.end(), out.ys.begin(), out.ys.end());
        return out.carries;
      });
  std::vector<Value> outputs;
  if (sound && region.graph != nullptr) {
    std::vector<Value> operands(carries.begin(), carries.end());
    operands.insert(operands.end(), xs.begin(), xs.end());
    operands.insert(operands.end(), region.captured.begin(), region.captured.end());
    outputs = builder.emit("scan", operands,
                           Attributes::of(ScanAttributes{region.graph,
                                                         {std::move(trips)},
                                                         static_cast<int64_t>(carries.size()),
                                                         static_cast<int64_t>(xs.size()),
                                                         options.reverse}));
  }
  // After a mistake: as many poisoned values.
  while (outputs.size() < carries.size() + slices) outputs.push_back(builder.value(kNoValue));
  result.carries.assign(outputs.begin(), outputs.begin() + static_cast<int64_t>(carries.size()));
  result.ys.assign(outputs.begin() + static_cast<int64_t>(carries.size()),
                   outputs.begin() + static_cast<int64_t>(carries.size() + slices));
  return result;
}

}  // namespace modellib
