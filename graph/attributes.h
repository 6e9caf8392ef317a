// Attributes of an op, from one list of fields.
//
// An op declares a plain struct and names its fields once:
//
//   struct SoftmaxAttributes {
//     int64_t axis = -1;
//     static constexpr auto fields() { return std::make_tuple(field("axis",
//     &SoftmaxAttributes::axis)); }
//   };
//
// Printing, parsing, hashing, equality and serialisation derive from the list. A node holds its
// attributes type-erased and immutable as `Attributes`; `as<SoftmaxAttributes>()` gives the struct
// back.
#ifndef MODELLIB_GRAPH_ATTRIBUTES_H_
#define MODELLIB_GRAPH_ATTRIBUTES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/dim.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/tensor.h"

namespace modellib {

class Graph;
// A region: a graph inside a node (a branch, a loop body, a fused group).
using GraphRef = std::shared_ptr<const Graph>;

// What an attribute may hold. `Shape` is also used for lists of expressions such as slice bounds.
using AttributeValue = std::variant<bool, int64_t, double, std::string, DType, std::vector<int64_t>,
                                    std::vector<double>, Shape, Tensor, GraphRef>;

// "bool", "int", "float", "string", ...: for messages.
absl::string_view kind_of(const AttributeValue& value);
// Tensors compare by bits, regions by structure.
bool equal(const AttributeValue& a, const AttributeValue& b);
// Stable between processes.
uint64_t hash_of(const AttributeValue& value);

using AttributeList = std::vector<std::pair<std::string, AttributeValue>>;

template <class Struct, class T>
struct Field {
  absl::string_view name;
  T Struct::*member;
};
template <class Struct, class T>
constexpr Field<Struct, T> field(const char* name, T Struct::*member) {
  return {name, member};
}

namespace internal {
// How a C++ field travels as an AttributeValue; an empty optional is left out.
template <class T>
struct FieldCodec {
  static std::optional<AttributeValue> encode(const T& v) { return AttributeValue(v); }
  static bool decode(const AttributeValue& v, T& out) {
    const T* p = std::get_if<T>(&v);
    if (p != nullptr) out = *p;
    return p != nullptr;
  }
};
template <>
struct FieldCodec<double> {
  static std::optional<AttributeValue> encode(double v) { return AttributeValue(v); }
  static bool decode(const AttributeValue& v, double& out) {
    if (const auto* i = std::get_if<int64_t>(&v)) out = static_cast<double>(*i);
    if (const auto* d = std::get_if<double>(&v)) out = *d;
    return std::holds_alternative<int64_t>(v) || std::holds_alternative<double>(v);
  }
};
template <>
struct FieldCodec<Shape> {
  static std::optional<AttributeValue> encode(const Shape& v) { return AttributeValue(v); }
  static bool decode(const AttributeValue& v, Shape& out) {
    if (const auto* s = std::get_if<Shape>(&v)) return out = *s, true;
    if (const auto* n = std::get_if<std::vector<int64_t>>(&v)) {
      return out.assign(n->begin(), n->end()), true;
    }
    return false;
  }
};
template <>
struct FieldCodec<std::vector<int64_t>> {
  static std::optional<AttributeValue> encode(const std::vector<int64_t>& v) {
    return AttributeValue(v);
  }
  static bool decode(const AttributeValue& v, std::vector<int64_t>& out) {
    if (const auto* n = std::get_if<std::vector<int64_t>>(&v)) return out = *n, true;
    const auto* s = std::get_if<Shape>(&v);
    if (s == nullptr || !is_static(*s)) return false;
    out.clear();
    for (const Dim& d : *s) out.push_back(d.value());
    return true;
  }
};
template <>
struct FieldCodec<std::vector<double>> {
  static std::optional<AttributeValue> encode(const std::vector<double>& v) {
    return AttributeValue(v);
  }
  static bool decode(const AttributeValue& v, std::vector<double>& out) {
    if (const auto* d = std::get_if<std::vector<double>>(&v)) return out = *d, true;
    const auto* n = std::get_if<std::vector<int64_t>>(&v);
    if (n != nullptr) return out.assign(n->begin(), n->end()), true;
    const auto* s = std::get_if<Shape>(&v);
    return s != nullptr && s->empty() ? (out.clear(), true) : false;
  }
};
template <class T>
struct FieldCodec<std::optional<T>> {
  static std::optional<AttributeValue> encode(const std::optional<T>& v) {
    return v.has_value() ? FieldCodec<T>::encode(*v) : std::nullopt;
  }
  static bool decode(const AttributeValue& v, std::optional<T>& out) {
    T value{};
    if (!FieldCodec<T>::decode(v, value)) return false;
    out = std::move(value);
    return true;
  }
};

template <class T>
inline constexpr char kAttributesTag = 0;
}  // namespace internal

// Immutable attributes of any op; cheap to copy. Empty for an op without attributes.
class Attributes {
 public:
  Attributes() = default;
  template <class T>
  static Attributes of(T value) {
    return Attributes(std::make_shared<Holder<T>>(std::move(value)));
  }

  // The struct of the op; must be the one that the op's schema names.
  template <class T>
  const T& as() const {
    return static_cast<const Holder<T>*>(holder_.get())->value;
  }
  template <class T>
  bool is() const {
    return holder_ != nullptr && holder_->tag() == &internal::kAttributesTag<T>;
  }
  bool empty() const { return holder_ == nullptr; }

  // Every field with its value, in declaration order; `all` includes those at their default.
  AttributeList list(bool all = false) const {
    return holder_ == nullptr ? AttributeList{} : holder_->list(all);
  }
  friend bool operator==(const Attributes& a, const Attributes& b);
  // Stable between processes.
  uint64_t hash() const;

 private:
  struct Base {
    virtual ~Base() = default;
    virtual const void* tag() const = 0;
    virtual AttributeList list(bool all) const = 0;
  };
  template <class T>
  struct Holder final : Base {
    explicit Holder(T v) : value(std::move(v)) {}
    const void* tag() const override { return &internal::kAttributesTag<T>; }
    AttributeList list(bool all) const override {
      AttributeList out;
      const T defaults{};
      std::apply(
          [&](const auto&... f) {
            (
                [&] {
                  using Codec =
                      internal::FieldCodec<std::remove_cvref_t<decltype(value.*(f.member))>>;
                  auto encoded = Codec::encode(value.*(f.member));
                  auto standard = Codec::encode(defaults.*(f.member));
                  if (!encoded.has_value()) return;
                  if (!all && standard.has_value() && equal(*encoded, *standard)) return;
                  out.emplace_back(std::string(f.name), *std::move(encoded));
                }(),
                ...);
          },
          T::fields());
      return out;
    }
    T value;
  };
  explicit Attributes(std::shared_ptr<const Base> holder) : holder_(std::move(holder)) {}

  std::shared_ptr<const Base> holder_;
};

// How an op reads its attributes from a list; default-constructed: the op has none.
struct AttributesSchema {
  // InvalidArgument for an unknown name, a name given twice or a value of the wrong kind.
  absl::StatusOr<Attributes> (*parse)(const AttributeList&) = nullptr;
  bool (*matches)(const Attributes&) = nullptr;

  template <class T>
  static AttributesSchema of() {
    return {&parse_as<T>, [](const Attributes& a) { return a.is<T>(); }};
  }

 private:
  template <class T>
  static absl::StatusOr<Attributes> parse_as(const AttributeList& list) {
    T value{};
    std::vector<absl::string_view> seen;
    for (const auto& [name, given] : list) {
      for (absl::string_view earlier : seen) {
        if (earlier == name) {
          return absl::InvalidArgumentError(absl::StrCat("attribute '", name, "' is given twice"));
        }
      }
      seen.push_back(name);
      bool known = false, fits = false;
      std::apply(
          [&, &name = name, &given = given](const auto&... f) {
            (
                [&] {
                  if (f.name != name) return;
                  known = true;
                  using Codec =
                      internal::FieldCodec<std::remove_cvref_t<decltype(value.*(f.member))>>;
                  fits = Codec::decode(given, value.*(f.member));
                }(),
                ...);
          },
          T::fields());
      if (!known) {
        return absl::InvalidArgumentError(absl::StrCat("unknown attribute '", name, "'"));
      }
      if (!fits) {
        return absl::InvalidArgumentError(
            absl::StrCat("attribute '", name, "' cannot be a ", kind_of(given)));
      }
    }
    return Attributes::of(std::move(value));
  }
};

}  // namespace modellib

#endif  // MODELLIB_GRAPH_ATTRIBUTES_H_
