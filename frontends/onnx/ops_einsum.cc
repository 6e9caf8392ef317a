// Einsum, in terms of products, sums and transpositions: operands are contracted from left to
// right, each time over the labels that nothing needs any more.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_split.h"
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

// One character for each axis. Letters are those of the equation; the axes of "..." are numbered
// from the last, which is 1: so those of several operands meet as in a broadcast.
using Labels = std::string;

bool has(const Labels& labels, char label) { return labels.find(label) != Labels::npos; }
bool is_letter(char c) { return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z'); }

// The labels of a term with so many axes under its "...".
absl::StatusOr<Labels> labels_of(absl::string_view term, int ellipsis) {
  constexpr int kMostAxes = 'A' - 1;
  Labels labels;
  bool seen = false;
  for (size_t i = 0; i < term.size(); ++i) {
    if (is_letter(term[i])) {
      labels += term[i];
    } else if (term.substr(i, 3) == "..." && !seen && ellipsis < kMostAxes) {
      for (int axis = ellipsis; axis > 0; --axis) labels += static_cast<char>(axis);
      seen = true;
      i += 2;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("the term '", term, "' of its equation"));
    }
  }
  return labels;
}

struct Equation {
  std::vector<Labels> terms;
  Labels result;
};

absl::StatusOr<Equation> parse(std::string text, const Values& operands) {
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  const std::vector<std::string> sides = absl::StrSplit(text, "->");
  const std::vector<std::string> terms = absl::StrSplit(sides[0], ',');
  if (sides.size() > 2 || terms.size() != operands.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the equation '", text, "' for ", operands.size(), " operands"));
  }
  Equation equation;
  int most = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto letters =
        static_cast<int>(std::count_if(terms[i].begin(), terms[i].end(), is_letter));
    const bool open = terms[i].find('.') != std::string::npos;
    const int rest = operands[i].rank() - letters;
    if (open ? rest < 0 : rest != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the term '", terms[i], "' for an operand of rank ", operands[i].rank()));
    }
    most = std::max(most, rest);
    MODELLIB_ASSIGN_OR_RETURN(Labels labels, labels_of(terms[i], rest));
    equation.terms.push_back(std::move(labels));
  }
  if (sides.size() == 2) {
    MODELLIB_ASSIGN_OR_RETURN(equation.result, labels_of(sides[1], most));
  } else {
    // What stands in one place only, in the order of the alphabet, after the axes of "...".
    std::map<char, int> counts;
    for (const Labels& term : equation.terms) {
      for (char label : term) ++counts[label];
    }
    for (int axis = most; axis > 0; --axis) equation.result += static_cast<char>(axis);
    for (const auto& [label, count] : counts) {
      if (is_letter(label) && count == 1) equation.result += label;
    }
  }
  for (char label : equation.result) {
    const bool known = std::any_of(equation.terms.begin(), equation.terms.end(),
                                   [&](const Labels& term) { return has(term, label); });
    if (!known || std::count(equation.result.begin(), equation.result.end(), label) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("the right side of its equation '", text, "'"));
    }
  }
  return equation;
}

struct Operand {
  Value value;
  Labels labels;
};

// "ii": the diagonal. What is beside it counts as zero in a sum over one of the two axes.
Operand without_repeats(Operand x) {
  for (size_t i = 0; i < x.labels.size(); ++i) {
    for (size_t j; (j = x.labels.find(x.labels[i], i + 1)) != Labels::npos;) {
      const auto at = [&](size_t axis) {
        Shape shape(x.labels.size(), Dim(1));
        shape[axis] = x.value.dim(static_cast<int>(axis));
        return iota(*x.value.builder(), shape, {.axis = static_cast<int64_t>(axis)});
      };
      x.value = sum_over(where(equal(at(i), at(j)), x.value, zeros_like(x.value)),
                         {static_cast<int64_t>(j)});
      x.value = squeeze(x.value, {static_cast<int64_t>(j)});
      x.labels.erase(j, 1);
    }
  }
  return x;
}

// Sums over all labels but these.
Operand summed(Operand x, const Labels& kept) {
  std::vector<int64_t> axes;
  Labels labels;
  for (size_t i = 0; i < x.labels.size(); ++i) {
    if (has(kept, x.labels[i])) {
      labels += x.labels[i];
    } else {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  if (axes.empty()) return x;
  return {squeeze(sum_over(x.value, axes), axes), labels};
}

Value ordered(const Operand& x, const Labels& order) {
  std::vector<int64_t> perm;
  bool sorted = true;
  for (char label : order) {
    perm.push_back(static_cast<int64_t>(x.labels.find(label)));
    sorted = sorted && perm.back() + 1 == static_cast<int64_t>(perm.size());
  }
  return sorted ? x.value : transpose(x.value, perm);
}

// The extents of the axes, as one each for `groups` of labels: [2,3,4] for "ab" and "c" is [6,4].
Shape grouped(const Operand& x, std::initializer_list<Labels> groups) {
  Shape shape;
  for (const Labels& group : groups) {
    Dim extent(1);
    for (char label : group) {
      extent = extent * x.value.dim(static_cast<int>(x.labels.find(label)));
    }
    shape.push_back(extent);
  }
  return shape;
}

Operand contracted(const Operand& a, const Operand& b, const Labels& kept) {
  Labels both, left, right, gone;
  for (char label : a.labels) {
    (!has(b.labels, label) ? left : has(kept, label) ? both : gone) += label;
  }
  for (char label : b.labels) {
    if (!has(a.labels, label)) right += label;
  }
  Value x = ordered(a, both + left + gone), y = ordered(b, both + gone + right);
  const auto dims = [](Value v, size_t from, size_t count) {
    const Shape& shape = v.shape();
    return Shape(shape.begin() + static_cast<std::ptrdiff_t>(from),
                 shape.begin() + static_cast<std::ptrdiff_t>(from + count));
  };
  const auto append = [](Shape to, const Shape& more) {
    to.insert(to.end(), more.begin(), more.end());
    return to;
  };
  const size_t rows = left.size(), columns = right.size();
  const Shape left_dims = dims(x, both.size(), rows);
  const Shape right_dims = dims(y, both.size() + gone.size(), columns);
  if (gone.empty()) {
    // Nothing is summed: a product with broadcasting.
    x = reshape(x, append(x.shape(), Shape(columns, Dim(1))));
    y = reshape(y, append(append(dims(y, 0, both.size()), Shape(rows, Dim(1))), right_dims));
    return {mul(x, y), both + left + right};
  }
  const Shape m = grouped(a, {left, gone}), n = grouped(b, {gone, right});
  const Value product = matmul(reshape(x, append(dims(x, 0, both.size()), m)),
                               reshape(y, append(dims(y, 0, both.size()), n)));
  const Shape batch = dims(product, 0, both.size());
  return {reshape(product, append(append(batch, left_dims), right_dims)), both + left + right};
}

absl::StatusOr<Values> einsum(NodeView& n) {
  const std::string text = n.text("equation", "");
  if (text.empty()) return absl::InvalidArgumentError("it has no equation");
  MODELLIB_ASSIGN_OR_RETURN(const Equation equation, parse(text, n.all()));
  Operand so_far;
  for (size_t i = 0; i < equation.terms.size(); ++i) {
    Labels later = equation.result;
    for (size_t j = i + 1; j < equation.terms.size(); ++j) later += equation.terms[j];
    const Operand next = without_repeats({n.in(static_cast<int>(i)), equation.terms[i]});
    so_far = i == 0 ? summed(next, later)
                    : contracted(so_far, summed(next, later + so_far.labels), later);
    so_far = summed(so_far, later);
  }
  return Values{ordered(so_far, equation.result)};
}

constexpr OpEntry kEntries[] = {
    {"Einsum", 12, kNow, 1, kMany, Takes::kNumber, einsum},
};

}  // namespace

absl::Span<const OpEntry> einsum_entries() { return kEntries; }

}  // namespace modellib::onnx
