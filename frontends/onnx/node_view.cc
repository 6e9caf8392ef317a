#include "modellib/frontends/onnx/node_view.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib::onnx {

using onnx_proto::AttributeProto;

namespace {

// Models older than IR version 2 do not say an attribute's type; the field that is set tells.
bool fits(const AttributeProto& a, AttributeProto::AttributeType type) {
  if (a.type() != AttributeProto::UNDEFINED) return a.type() == type;
  switch (type) {
    case AttributeProto::FLOAT:
      return a.has_f();
    case AttributeProto::INT:
      return a.has_i();
    case AttributeProto::STRING:
      return a.has_s();
    case AttributeProto::TENSOR:
      return a.has_t();
    case AttributeProto::GRAPH:
      return a.has_g();
    default:
      return true;  // an empty list
  }
}

template <class T>
absl::StatusOr<T> only(absl::StatusOr<std::vector<T>> list, int operand) {
  if (!list.ok()) return list.status();
  if (list->size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("operand ", operand, " has ", list->size(), " elements, expected one"));
  }
  return std::move(list->front());
}

Values tensors_of(const Items& items) {
  Values tensors;
  for (const Item& item : items) tensors.push_back(item.tensor());
  return tensors;
}

}  // namespace

NodeView::NodeView(const onnx_proto::NodeProto& node, int version, GraphBuilder& builder,
                   Items inputs, const CallAttributes* call, ImportContext& context)
    : node_(node),
      version_(version),
      builder_(builder),
      items_(std::move(inputs)),
      inputs_(tensors_of(items_)),
      call_(call),
      context_(context) {}

const AttributeProto* NodeView::find(absl::string_view name) const {
  for (const AttributeProto& a : node_.attribute()) {
    if (absl::string_view(a.name()) != name) continue;
    if (a.ref_attr_name().empty()) return &a;
    if (call_ == nullptr) return nullptr;
    const auto it = call_->find(a.ref_attr_name());
    return it == call_->end() ? nullptr : it->second;
  }
  return nullptr;
}

const AttributeProto* NodeView::typed(absl::string_view name, AttributeProto::AttributeType type) {
  const AttributeProto* a = find(name);
  if (a == nullptr || fits(*a, type)) return a;
  if (status_.ok()) {
    const std::string got = AttributeProto::AttributeType_IsValid(a->type())
                                ? AttributeProto::AttributeType_Name(a->type())
                                : absl::StrCat(a->type());
    status_ = absl::InvalidArgumentError(absl::StrCat("attribute '", name, "' must be of type ",
                                                      AttributeProto::AttributeType_Name(type),
                                                      ", is ", got));
  }
  return nullptr;
}

int64_t NodeView::integer(absl::string_view name, int64_t standard) {
  const AttributeProto* a = typed(name, AttributeProto::INT);
  return a == nullptr ? standard : a->i();
}

double NodeView::real(absl::string_view name, double standard) {
  const AttributeProto* a = typed(name, AttributeProto::FLOAT);
  return a == nullptr ? standard : static_cast<double>(a->f());
}

std::string NodeView::text(absl::string_view name, absl::string_view standard) {
  const AttributeProto* a = typed(name, AttributeProto::STRING);
  return a == nullptr ? std::string(standard) : a->s();
}

std::vector<int64_t> NodeView::integers(absl::string_view name, std::vector<int64_t> standard) {
  const AttributeProto* a = typed(name, AttributeProto::INTS);
  if (a == nullptr) return standard;
  return {a->ints().begin(), a->ints().end()};
}

std::vector<double> NodeView::reals(absl::string_view name) {
  const AttributeProto* a = typed(name, AttributeProto::FLOATS);
  if (a == nullptr) return {};
  return {a->floats().begin(), a->floats().end()};
}

std::vector<std::string> NodeView::texts(absl::string_view name) {
  const AttributeProto* a = typed(name, AttributeProto::STRINGS);
  if (a == nullptr) return {};
  return {a->strings().begin(), a->strings().end()};
}

const onnx_proto::TensorProto* NodeView::tensor_proto(absl::string_view name) {
  const AttributeProto* a = typed(name, AttributeProto::TENSOR);
  return a == nullptr ? nullptr : &a->t();
}

const onnx_proto::SparseTensorProto* NodeView::sparse_tensor_proto(absl::string_view name) {
  const AttributeProto* a = typed(name, AttributeProto::SPARSE_TENSOR);
  return a == nullptr ? nullptr : &a->sparse_tensor();
}

const onnx_proto::GraphProto* NodeView::graph(absl::string_view name) {
  const AttributeProto* a = typed(name, AttributeProto::GRAPH);
  return a == nullptr ? nullptr : &a->g();
}

absl::Status NodeView::unknown_operand(int i) const {
  return absl::UnimplementedError(
      absl::StrCat("operand ", i, " ('", i < node_.input_size() ? node_.input(i) : "",
                   "') must be constant or computed from extents, it depends on data"));
}

absl::StatusOr<Shape> NodeView::known_dims(int i) {
  const std::vector<Number>* numbers = contents(i);
  if (numbers == nullptr) return unknown_operand(i);
  Shape dims;
  for (const Number& n : *numbers) {
    if (n.kind != Number::Kind::kInteger) return unknown_operand(i);
    dims.push_back(n.integer);
  }
  return dims;
}

absl::StatusOr<std::vector<int64_t>> NodeView::known_integers(int i) {
  MODELLIB_ASSIGN_OR_RETURN(const Shape dims, known_dims(i));
  std::vector<int64_t> result;
  for (const Dim& d : dims) {
    if (!d.is_static()) {
      return absl::UnimplementedError(
          absl::StrCat("operand ", i, " must be constant, is ", to_string(dims)));
    }
    result.push_back(d.value());
  }
  return result;
}

absl::StatusOr<std::vector<double>> NodeView::known_reals(int i) {
  const std::vector<Number>* numbers = contents(i);
  if (numbers == nullptr) return unknown_operand(i);
  std::vector<double> result;
  for (const Number& n : *numbers) {
    const auto constant = n.constant();
    if (!constant.has_value()) return unknown_operand(i);
    result.push_back(*constant);
  }
  return result;
}

absl::StatusOr<int64_t> NodeView::known_integer(int i) { return only(known_integers(i), i); }
absl::StatusOr<Dim> NodeView::known_dim(int i) { return only(known_dims(i), i); }
absl::StatusOr<double> NodeView::known_real(int i) { return only(known_reals(i), i); }

absl::StatusOr<int64_t> NodeView::axis(absl::string_view name, int64_t standard, int rank) {
  const int64_t given = integer(name, standard);
  if (given < -rank || given >= rank) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is ", given, " for an operand of rank ", rank));
  }
  return given < 0 ? given + rank : given;
}

}  // namespace modellib::onnx
