// Convolutions and pooling.
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "modellib/frontends/onnx/conversions.h"
#include "modellib/frontends/onnx/op_table.h"
#include "modellib/ops/composite_support.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/op_support.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"

namespace modellib::onnx {
namespace {

// The windows that slide over the spatial axes of x.
struct Windows {
  std::vector<int64_t> kernel, strides, dilations, low, high;
};

absl::Status check_list(absl::string_view name, std::vector<int64_t>& list, size_t length,
                        int64_t standard) {
  if (list.empty()) list.assign(length, standard);
  if (list.size() == length) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " has ", list.size(), " entries, expected ", length));
}

// What windows come to is far from overflow.

absl::Status check_windows(std::initializer_list<const std::vector<int64_t>*> lists) {
  for (const std::vector<int64_t>* list : lists) {
    for (int64_t v : *list) {
      if (v < 1 || v > kMostOfWindow)
        return absl::InvalidArgumentError(absl::StrCat("a window with ", v));
    }
  }
  return absl::OkStatus();
}

absl::Status check_pads(const std::vector<int64_t>& pads) {
  for (int64_t v : pads) {
    if (v < -kMostOfWindow || v > kMostOfWindow)
      return absl::InvalidArgumentError(absl::StrCat("a pad of ", v));
    if (v < 0) return absl::UnimplementedError(absl::StrCat("a pad of ", v));
  }
  return absl::OkStatus();
}

// `kernel`: of the filter; empty: an attribute says it. Padding as auto_pad wants it needs to know
// the extent unless the stride is 1.
absl::StatusOr<Windows> windows_of(NodeView& n, std::vector<int64_t> kernel) {
  const Value x = n.in(0);
  if (x.rank() < 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("operand 0 is ", to_string(x.type()), ", its rank must be 3 at least"));
  }
  const auto spatial = static_cast<size_t>(x.rank() - 2);
  Windows w;
  w.kernel = n.integers("kernel_shape");
  if (!kernel.empty()) {
    if (!w.kernel.empty() && w.kernel != kernel) {
      return absl::InvalidArgumentError("kernel_shape is not that of the filter");
    }
    w.kernel = std::move(kernel);
  }
  if (w.kernel.size() != spatial) {
    return absl::InvalidArgumentError(
        absl::StrCat("a kernel of ", w.kernel.size(), " axes over ", to_string(x.type())));
  }
  w.strides = n.integers("strides");
  w.dilations = n.integers("dilations");
  std::vector<int64_t> pads = n.integers("pads");
  MODELLIB_RETURN_IF_ERROR(check_list("strides", w.strides, spatial, 1));
  MODELLIB_RETURN_IF_ERROR(check_list("dilations", w.dilations, spatial, 1));
  MODELLIB_RETURN_IF_ERROR(check_list("pads", pads, 2 * spatial, 0));
  MODELLIB_RETURN_IF_ERROR(check_windows({&w.kernel, &w.strides, &w.dilations}));
  MODELLIB_RETURN_IF_ERROR(check_pads(pads));
  w.low.assign(pads.begin(), pads.begin() + static_cast<int64_t>(spatial));
  w.high.assign(pads.begin() + static_cast<int64_t>(spatial), pads.end());

  const std::string mode = n.text("auto_pad", "NOTSET");
  if (mode == "NOTSET" || mode.empty()) return w;
  if (mode == "VALID") {
    w.low.assign(spatial, 0);
    w.high.assign(spatial, 0);
    return w;
  }
  if (mode != "SAME_UPPER" && mode != "SAME_LOWER") {
    return absl::InvalidArgumentError(absl::StrCat("auto_pad '", mode, "'"));
  }
  for (size_t i = 0; i < spatial; ++i) {
    const Dim& extent = x.shape()[i + 2];
    const int64_t reach = w.dilations[i] * (w.kernel[i] - 1) + 1;
    int64_t total = reach - 1;
    if (w.strides[i] != 1) {
      if (!extent.is_static()) {
        return absl::UnimplementedError(
            absl::StrCat("auto_pad with a stride over the free extent ", extent.to_string()));
      }
      const int64_t windows = (extent.value() + w.strides[i] - 1) / w.strides[i];
      total = std::max<int64_t>(0, (windows - 1) * w.strides[i] + reach - extent.value());
    }
    w.low[i] = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
    w.high[i] = total - w.low[i];
  }
  return w;
}

absl::StatusOr<std::vector<int64_t>> kernel_of(Value filter) {
  const Shape& shape = filter.shape();
  if (shape.size() < 3 || !is_static(shape)) {
    return absl::UnimplementedError(
        absl::StrCat("a filter of type ", to_string(filter.type()), "; its shape must be known"));
  }
  std::vector<int64_t> kernel;
  for (size_t d = 2; d < shape.size(); ++d) kernel.push_back(shape[d].value());
  return kernel;
}

Value with_bias(Value y, Value bias) {
  return bias.is_null() ? y : y + per_channel(bias, y.rank());
}

absl::StatusOr<Values> convolution(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(std::vector<int64_t> kernel, kernel_of(n.in(1)));
  MODELLIB_ASSIGN_OR_RETURN(Windows w, windows_of(n, std::move(kernel)));
  ConvAttributes a;
  a.strides = std::move(w.strides);
  a.padding_low = std::move(w.low);
  a.padding_high = std::move(w.high);
  a.dilations = std::move(w.dilations);
  a.groups = n.integer("group", 1);
  return Values{with_bias(conv(n.in(0), n.in(1), std::move(a)), n.in(2))};
}

absl::StatusOr<Values> transposed_convolution(NodeView& n) {
  const Value x = n.in(0);
  MODELLIB_ASSIGN_OR_RETURN(std::vector<int64_t> kernel, kernel_of(n.in(1)));
  const std::string mode = n.text("auto_pad", "NOTSET");
  const auto spatial = kernel.size();
  if (x.rank() != static_cast<int>(spatial) + 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("operand 0 is ", to_string(x.type()), ", its filter has rank ", spatial + 2));
  }
  ConvAttributes a;
  a.strides = n.integers("strides");
  a.dilations = n.integers("dilations");
  a.groups = n.integer("group", 1);
  std::vector<int64_t> pads = n.integers("pads"), extra = n.integers("output_padding");
  MODELLIB_RETURN_IF_ERROR(check_list("strides", a.strides, spatial, 1));
  MODELLIB_RETURN_IF_ERROR(check_list("dilations", a.dilations, spatial, 1));
  MODELLIB_RETURN_IF_ERROR(check_list("pads", pads, 2 * spatial, 0));
  MODELLIB_RETURN_IF_ERROR(check_list("output_padding", extra, spatial, 0));
  std::vector<int64_t> wanted = n.integers("output_shape");
  if (wanted.size() > spatial) {  // with batch and channels, which say nothing new
    wanted.erase(wanted.begin(), wanted.end() - static_cast<int64_t>(spatial));
  }
  MODELLIB_RETURN_IF_ERROR(check_windows({&kernel, &a.strides, &a.dilations}));
  for (const std::vector<int64_t>* list : {&extra, &wanted}) {
    for (int64_t v : *list) {
      if (v >= 0 && v <= kMostOfWindow) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(list == &extra ? "output_padding" : "output_shape", " with ", v));
    }
  }
  const bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  if (!same && mode != "VALID" && mode != "NOTSET" && !mode.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("auto_pad '", mode, "'"));
  }
  if (mode == "VALID") pads.assign(2 * spatial, 0);
  // The padding that gives the shape which is asked for.
  if (!wanted.empty() || same) {
    if (!wanted.empty() && wanted.size() != spatial) {
      return absl::InvalidArgumentError("output_shape has too few entries");
    }
    for (size_t i = 0; i < spatial; ++i) {
      const int64_t reach = a.dilations[i] * (kernel[i] - 1) + 1;
      // Of (in - 1) stride + reach + extra, what is more than wanted; without a wish: in * stride.
      int64_t total = reach + extra[i] - a.strides[i];
      if (!wanted.empty()) {
        if (!x.shape()[i + 2].is_static()) {
          return absl::UnimplementedError("output_shape over a free extent");
        }
        // As an extent, which does not overflow.
        const Dim whole = (x.shape()[i + 2] - 1) * a.strides[i] + reach + extra[i];
        total = (whole - wanted[i]).value();
      }
      if (total < 0) {  // what is missing is added at the end
        extra[i] -= total;
        total = 0;
      }
      pads[i] = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
      pads[i + spatial] = total - pads[i];
    }
  }
  MODELLIB_RETURN_IF_ERROR(check_pads(pads));
  a.padding_low.assign(pads.begin(), pads.begin() + static_cast<int64_t>(spatial));
  a.padding_high.assign(pads.begin() + static_cast<int64_t>(spatial), pads.end());
  return Values{with_bias(conv_transpose(x, n.in(1), std::move(a), std::move(extra)), n.in(2))};
}

absl::StatusOr<PoolAttributes> pooling(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(Windows w, windows_of(n, {}));
  PoolAttributes a;
  a.kernel = std::move(w.kernel);
  a.strides = std::move(w.strides);
  a.padding_low = std::move(w.low);
  a.padding_high = std::move(w.high);
  a.dilations = std::move(w.dilations);
  a.ceil_mode = n.flag("ceil_mode", false);
  return a;
}

absl::StatusOr<Values> largest_of_windows(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(PoolAttributes a, pooling(n));
  return Values{max_pool(n.in(0), std::move(a))};
}

absl::StatusOr<Values> mean_of_windows(NodeView& n) {
  MODELLIB_ASSIGN_OR_RETURN(PoolAttributes a, pooling(n));
  a.count_include_pad = n.flag("count_include_pad", false);
  if (absl::c_any_of(a.dilations, [](int64_t d) { return d != 1; })) {
    return absl::UnimplementedError("dilations");
  }
  return Values{avg_pool(n.in(0), std::move(a))};
}

template <Value (*kFunction)(Value, ReduceAttributes)>
absl::StatusOr<Values> over_space(NodeView& n) {
  const Value x = n.in(0);
  if (x.rank() < 3) {
    return absl::InvalidArgumentError(absl::StrCat("operand 0 is ", to_string(x.type())));
  }
  return Values{kFunction(x, {.axes = trailing_axes(x.rank(), x.rank() - 2), .keepdims = true})};
}

constexpr OpEntry kEntries[] = {
    {"AveragePool", 1, kNow, 1, 1, Takes::kReal, mean_of_windows},
    {"Conv", 1, kNow, 2, 3, Takes::kReal, convolution},
    {"ConvTranspose", 1, kNow, 2, 3, Takes::kReal, transposed_convolution},
    {"GlobalAveragePool", 1, kNow, 1, 1, Takes::kReal, over_space<reduce_mean>},
    {"GlobalMaxPool", 1, kNow, 1, 1, Takes::kReal, over_space<reduce_max>},
    {"MaxPool", 1, kNow, 1, 1, Takes::kReal, largest_of_windows},
};

}  // namespace

absl::Span<const OpEntry> convolution_entries() { return kEntries; }

}  // namespace modellib::onnx
