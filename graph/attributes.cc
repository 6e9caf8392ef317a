#include "modellib/graph/attributes.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

#include "modellib/graph/graph.h"

namespace modellib {

absl::string_view kind_of(const AttributeValue& value) {
  static constexpr absl::string_view kNames[] = {"bool",   "int",      "float",      "string",
                                                 "dtype",  "int list", "float list", "shape",
                                                 "tensor", "graph"};
  return kNames[value.index()];
}

bool equal(const AttributeValue& a, const AttributeValue& b) {
  if (a.index() != b.index()) return false;
  if (const auto* t = std::get_if<Tensor>(&a)) return t->identical(std::get<Tensor>(b));
  if (const auto* g = std::get_if<GraphRef>(&a)) {
    const GraphRef& h = std::get<GraphRef>(b);
    if (*g == nullptr || h == nullptr) return *g == h;
    return *g == h || structurally_equal(**g, *h);
  }
  // Doubles by bits, so that a NaN equals itself and zeros of different sign differ.
  if (const auto* d = std::get_if<double>(&a)) {
    return std::bit_cast<uint64_t>(*d) == std::bit_cast<uint64_t>(std::get<double>(b));
  }
  if (const auto* s = std::get_if<Shape>(&a)) return *s == std::get<Shape>(b);
  if (const auto* s = std::get_if<std::string>(&a)) return *s == std::get<std::string>(b);
  if (const auto* v = std::get_if<std::vector<int64_t>>(&a)) {
    return *v == std::get<std::vector<int64_t>>(b);
  }
  if (const auto* v = std::get_if<std::vector<double>>(&a)) {
    const auto& w = std::get<std::vector<double>>(b);
    return std::equal(v->begin(), v->end(), w.begin(), w.end(), [](double x, double y) {
      return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y);
    });
  }
  if (const auto* v = std::get_if<DType>(&a)) return *v == std::get<DType>(b);
  if (const auto* v = std::get_if<int64_t>(&a)) return *v == std::get<int64_t>(b);
  return std::get<bool>(a) == std::get<bool>(b);
}

uint64_t hash_of(const AttributeValue& value) {
  const uint64_t seed = value.index();
  const auto bytes = [&](const void* p, size_t n) { return XXH3_64bits_withSeed(p, n, seed); };
  return std::visit(
      [&](const auto& v) -> uint64_t {
        using T = std::remove_cvref_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return bytes(v.data(), v.size());
        } else if constexpr (std::is_same_v<T, std::vector<int64_t>> ||
                             std::is_same_v<T, std::vector<double>>) {
          return bytes(v.data(), v.size() * sizeof(v[0]));
        } else if constexpr (std::is_same_v<T, Shape>) {
          const std::string text = to_string(v);
          return bytes(text.data(), text.size());
        } else if constexpr (std::is_same_v<T, Tensor>) {
          return v.content_hash();
        } else if constexpr (std::is_same_v<T, GraphRef>) {
          return v == nullptr ? seed : structural_hash(*v);
        } else {
          return bytes(&v, sizeof(v));
        }
      },
      value);
}

bool operator==(const Attributes& a, const Attributes& b) {
  if (a.holder_ == b.holder_) return true;
  if (a.empty() || b.empty() || a.holder_->tag() != b.holder_->tag()) return false;
  const AttributeList x = a.list(), y = b.list();
  if (x.size() != y.size()) return false;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i].first != y[i].first || !equal(x[i].second, y[i].second)) return false;
  }
  return true;
}

uint64_t Attributes::hash() const {
  uint64_t h = 0;
  for (const auto& [name, value] : list()) {
    const uint64_t pair[] = {h, XXH3_64bits(name.data(), name.size()), hash_of(value)};
    h = XXH3_64bits(pair, sizeof(pair));
  }
  return h;
}

}  // namespace modellib
