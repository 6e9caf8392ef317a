#include "modellib/tests/op_table/samples.h"

#include <cmath>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/registry.h"

namespace modellib {
namespace {

// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
class Stream {
 public:
  explicit Stream(const std::string& name) {
    for (char c : name) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // 24 bits, so that f32 and f64 hold the same number.
  double uniform() { return static_cast<double>(next() >> 40) * 0x1p-24; }

 private:
  uint64_t state_ = 0xcbf29ce484222325u;
};

DType widened(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ? DType::kF64
                                                                               : dtype;
}

Tensor widened(const Tensor& t) {
  if (widened(t.dtype()) == t.dtype()) return t;
  Tensor wide = *Tensor::zeros(DType::kF64, t.shape());
  for (int64_t i = 0; i < t.elements(); ++i) wide.set(i, t.at(i));
  return wide;
}

GraphRef widened(const Graph& graph);

Attributes widened(const OpDef& op, const Attributes& attributes) {
  AttributeList list = attributes.list(/*all=*/true);
  for (auto& [name, value] : list) {
    if (auto* d = std::get_if<DType>(&value)) *d = widened(*d);
    if (auto* t = std::get_if<Tensor>(&value)) *t = widened(*t);
    if (auto* g = std::get_if<GraphRef>(&value)) *g = *g == nullptr ? *g : widened(**g);
  }
  return op.attributes.parse == nullptr ? Attributes() : *op.attributes.parse(list);
}

GraphRef widened(const Graph& graph) {
  GraphBuilder b(builtin_ops(), graph.name());
  std::vector<Value> map(graph.values().size());
  for (ValueId id : graph.inputs()) {
    TensorType type = graph.type(id);
    type.dtype = widened(type.dtype);
    map[static_cast<size_t>(id)] = b.input(graph.value(id).name, type);
  }
  for (const auto& [symbol, range] : graph.ranges()) b.set_range(symbol, range);
  for (const Graph::Node& node : graph.nodes()) {
    std::vector<Value> operands;
    for (ValueId in : node.inputs) {
      operands.push_back(in == kNoValue ? Value() : map[static_cast<size_t>(in)]);
    }
    const auto outputs = b.emit(*node.op, operands, widened(*node.op, node.attributes));
    for (int i = 0; i < node.num_outputs; ++i) {
      map[static_cast<size_t>(node.output(i))] = outputs[static_cast<size_t>(i)];
    }
  }
  for (const Graph::Output& out : graph.outputs()) {
    b.output(out.name, map[static_cast<size_t>(out.value)]);
  }
  return *b.build();
}

}  // namespace

std::string OpCase::name() const { return op->name + "/" + sample.name; }

std::ostream& operator<<(std::ostream& out, const OpCase& c) { return out << c.name(); }

std::vector<OpCase> op_cases(const OpRegistry& registry) {
  std::vector<OpCase> cases;
  for (const OpDef* op : registry.all()) {
    if (op->samples == nullptr) continue;
    for (OpSample& sample : op->samples()) cases.push_back({op, std::move(sample)});
  }
  return cases;
}

std::vector<OpCase> op_cases() { return op_cases(builtin_ops()); }

OpCase in_f64(const OpCase& c) {
  OpCase wide = c;
  for (TensorType& type : wide.sample.inputs) type.dtype = widened(type.dtype);
  if (!c.sample.attributes.empty()) {
    wide.sample.attributes = widened(*c.op, c.sample.attributes);
  }
  return wide;
}

absl::StatusOr<GraphRef> sample_graph(const OpCase& c) {
  GraphBuilder b(builtin_ops(), c.op->name);
  std::vector<Value> operands;
  for (size_t i = 0; i < c.sample.inputs.size(); ++i) {
    const TensorType& type = c.sample.inputs[i];
    operands.push_back(type.dtype == DType::kInvalid ? Value()
                                                     : b.input(absl::StrCat("in", i), type));
  }
  const std::vector<Value> outputs = b.emit(*c.op, operands, c.sample.attributes);
  for (size_t i = 0; i < outputs.size(); ++i) b.output(absl::StrCat("out", i), outputs[i]);
  return b.build();
}

absl::StatusOr<Tensor> random_tensor(DType dtype, absl::Span<const int64_t> shape, double low,
                                     double high, const std::string& stream) {
  MODELLIB_ASSIGN_OR_RETURN(Tensor t, Tensor::zeros(dtype, shape));
  Stream random(stream);
  for (int64_t i = 0; i < t.elements(); ++i) {
    const double u = random.uniform();
    if (is_floating(dtype)) {
      t.set(i, static_cast<float>(low + (high - low) * u));
    } else {
      t.set_int(i, static_cast<int64_t>(std::ceil(low) +
                                        std::floor(u * (std::floor(high) - std::ceil(low) + 1))));
    }
  }
  return t;
}

absl::StatusOr<std::vector<Tensor>> sample_inputs(const OpCase& c, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < c.sample.inputs.size(); ++i) {
    const TensorType& type = c.sample.inputs[i];
    if (type.dtype == DType::kInvalid) continue;
    double low = c.sample.low, high = c.sample.high;
    for (const OpSample::Domain& domain : c.sample.domains) {
      if (domain.input == static_cast<int>(i)) low = domain.low, high = domain.high;
    }
    std::vector<int64_t> shape;
    for (const Dim& d : type.shape) {
      MODELLIB_ASSIGN_OR_RETURN(const int64_t extent, d.evaluate(c.sample.binding));
      shape.push_back(extent);
    }
    MODELLIB_ASSIGN_OR_RETURN(Tensor t, random_tensor(type.dtype, shape, low, high,
                                                      absl::StrCat(c.name(), i, "#", seed)));
    inputs.push_back(std::move(t));
  }
  return inputs;
}

std::string difference(const Tensor& got, const Tensor& expected, double tolerance) {
  if (got.dtype() != expected.dtype() || got.shape() != expected.shape()) {
    return absl::StrCat("got ", to_string(got.dtype()), "[", absl::StrJoin(got.shape(), ","),
                        "], expected ", to_string(expected.dtype()), "[",
                        absl::StrJoin(expected.shape(), ","), "]");
  }
  double worst = 0;
  std::string where;
  for (int64_t i = 0; i < got.elements(); ++i) {
    double error = 0;
    if (is_floating(got.dtype())) {
      const double a = got.at(i), b = expected.at(i);
      if (a == b || (std::isnan(a) && std::isnan(b))) continue;
      error = std::fabs(a - b) / std::max(1.0, std::fabs(b));
      if (!std::isfinite(error)) error = HUGE_VAL;
    } else if (got.int_at(i) != expected.int_at(i)) {
      error = HUGE_VAL;
    }
    if (error > tolerance && error > worst) {
      worst = error;
      where = absl::StrCat("element ", i, " is ", got.at(i), ", expected ", expected.at(i),
                           ", relative error ", error, " above ", tolerance);
    }
  }
  return where;
}

}  // namespace modellib
