#include "modellib/executors/cpu/backend/transposed_conv_recipe.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/cpu/backend/conv_gemm_step.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/kernels/strided.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

int64_t product_of(const std::vector<int64_t>& numbers) {
  int64_t product = 1;
  for (const int64_t n : numbers) product *= n;
  return product;
}

// One axis: of the results q * stride + phase, what each phase sees around place q of the image.
// It sees x[q + offset] through the tap at phase + pad - offset * stride, if there is one: tap k of
// the filter is at k * dilation. So each tap belongs to one phase and has one offset.
struct Axis {
  int64_t kernel, stride, dilation, pad;
  int64_t first = 0, last = 0;  // of the offsets, over all phases
  int64_t step = 0;             // each is first + a multiple of it

  Axis(const TransposedConvProblem& p, size_t d)
      : kernel(p.kernel[d]), stride(p.stride[d]), dilation(p.dilation[d]), pad(p.pad_low[d]) {
    for (int64_t k = 0; k < kernel; ++k) {
      first = std::min(first, offset_of(k));
      last = std::max(last, offset_of(k));
    }
    for (int64_t k = 0; k < kernel; ++k) step = std::gcd(step, offset_of(k) - first);
    step = std::max<int64_t>(1, step);
  }
  int64_t offset_of(int64_t tap) const {
    const int64_t at = tap * dilation - pad;
    const int64_t phase = (at % stride + stride) % stride;
    return (phase - at) / stride;
  }
  int64_t offsets() const { return (last - first) / step + 1; }
  // The tap of the filter, or -1.
  int64_t tap(int64_t phase, int64_t number) const {
    const int64_t at = phase + pad - (first + number * step) * stride;
    return at < 0 || at % dilation != 0 || at / dilation >= kernel ? -1 : at / dilation;
  }
};

std::vector<Axis> axes_of(const TransposedConvProblem& p) {
  std::vector<Axis> axes;
  for (size_t d = 0; d < p.kernel.size(); ++d) axes.emplace_back(p, d);
  return axes;
}

// The filter [groups, in channels, out channels, kernel…] as that of the convolution, [groups,
// phases…, out channels][in channels, offsets…]; channels are those of a group.
std::vector<float> phase_filter(const std::vector<Axis>& axes, int64_t groups, int64_t in_channels,
                                int64_t out_channels, absl::Span<const float> filter) {
  int64_t phases = 1, offsets = 1, taps = 1;
  for (const Axis& a : axes) {
    phases *= a.stride;
    offsets *= a.offsets();
    taps *= a.kernel;
  }
  const int64_t elements = groups * phases * out_channels * in_channels * offsets;
  std::vector<float> result(static_cast<size_t>(elements), 0);
  for (int64_t phase = 0; phase < phases; ++phase) {
    for (int64_t offset = 0; offset < offsets; ++offset) {
      int64_t tap = 0, p = phase, o = offset, scale = 1;
      for (size_t d = axes.size(); d-- > 0 && tap >= 0;) {
        const Axis& a = axes[d];
        const int64_t k = a.tap(p % a.stride, o % a.offsets());
        tap = k < 0 ? -1 : tap + k * scale;
        scale *= a.kernel;
        p /= a.stride;
        o /= a.offsets();
      }
      if (tap < 0) continue;
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t c = 0; c < out_channels; ++c) {
          for (int64_t i = 0; i < in_channels; ++i) {
            const int64_t from = ((g * in_channels + i) * out_channels + c) * taps + tap;
            const int64_t row = (g * phases + phase) * out_channels + c;
            result[static_cast<size_t>((row * in_channels + i) * offsets + offset)] =
                filter[static_cast<size_t>(from)];
          }
        }
      }
    }
  }
  return result;
}

class TransposedConvSteps {
 public:
  TransposedConvSteps(const RecipeSite& site, const TransposedConvProblem& p)
      : site_(site), p_(p), axes_(axes_of(p)) {
    for (size_t d = 0; d < p.out.size(); ++d) places_.push_back(p.out[d] / Dim(p.stride[d]));
  }

  absl::StatusOr<NodeRecipe> take() {
    const bool one_phase = product_of(p_.stride) == 1;
    StepOperand x = input_operand(0);
    if (!p_.channels_last) {
      x = temporary(element_count(image(p_.in, p_.in_channels)));
      MODELLIB_RETURN_IF_ERROR(bring_channels_together(x));
    }
    if (one_phase && p_.channels_last) {
      add_convolution(x, output_operand());
      return std::move(recipe_);
    }
    const StepOperand phases =
        temporary(element_count(image(places_, product_of(p_.stride) * p_.out_channels)));
    add_convolution(x, phases);
    MODELLIB_RETURN_IF_ERROR(put_side_by_side(phases));
    return std::move(recipe_);
  }

 private:
  // Channels-last.
  Shape image(const std::vector<Dim>& extents, int64_t channels) const {
    Shape shape = {p_.batch};
    shape.insert(shape.end(), extents.begin(), extents.end());
    shape.push_back(channels);
    return shape;
  }
  StepOperand temporary(const Dim& floats) {
    return add_temporary(recipe_, floats * static_cast<int64_t>(sizeof(float)));
  }
  absl::Status copy(const Walk& walk, StepOperand from, StepOperand to) {
    return add_copy(site_, recipe_, DType::kF32, walk, from, to);
  }

  absl::Status bring_channels_together(StepOperand to) {
    Shape first = {p_.batch, p_.in_channels};
    first.insert(first.end(), p_.in.begin(), p_.in.end());
    Walk walk;
    walk.extents = image(p_.in, p_.in_channels);
    walk.target = dense_strides(walk.extents);
    walk.source = dense_strides(first);
    std::rotate(walk.source.begin() + 1, walk.source.begin() + 2, walk.source.end());
    return copy(walk, input_operand(0), to);
  }

  void add_convolution(StepOperand x, StepOperand y) {
    ConvGemmScalars scalars;
    scalars.in_channels = p_.in_channels;
    scalars.out_channels = product_of(p_.stride) * p_.out_channels;
    scalars.groups = p_.groups;
    const size_t skip = std::size(scalars.kernel) - axes_.size();
    for (size_t d = 0; d < axes_.size(); ++d) {
      scalars.kernel[skip + d] = axes_[d].offsets();
      scalars.dilation[skip + d] = axes_[d].step;
      scalars.pad_low[skip + d] = -axes_[d].first;
    }
    const StepOperand filter = add_constant(
        recipe_, 1,
        absl::StrCat("transposed conv, strides ", absl::StrJoin(p_.stride, "x"), ", dilations ",
                     absl::StrJoin(p_.dilation, "x"), ", padding ", absl::StrJoin(p_.pad_low, "x"),
                     ", groups ", p_.groups, ", panels ", kPanel, " k-block ",
                     k_block(conv_gemm_depth(scalars))),
        [axes = axes_, scalars, groups = p_.groups, in = p_.in_channels / p_.groups,
         out = p_.out_channels / p_.groups](absl::Span<const float> f) {
          return pack_conv_gemm_filter(scalars, phase_filter(axes, groups, in, out, f));
        });
    StepRecipe step = conv_gemm_step(site_, scalars, p_.batch, p_.in, places_);
    step.outputs = {y};
    step.inputs = {x, filter, {}, {}};
    recipe_.steps.push_back(std::move(step));
  }

  // [batch, places…, groups, phases…, channels] -> the result: by axis a place, then its phase.
  absl::Status put_side_by_side(StepOperand phases) {
    const size_t axes = axes_.size();
    const int64_t channels = p_.out_channels / p_.groups;
    Shape split = image(places_, p_.groups);
    split.insert(split.end(), p_.stride.begin(), p_.stride.end());
    split.emplace_back(channels);
    const std::vector<Dim> from = dense_strides(split);
    Shape result = image(p_.out, p_.out_channels);
    std::vector<Dim> to = dense_strides(result);  // batch, spatial…, channels
    if (!p_.channels_last) {
      std::rotate(result.begin() + 1, result.end() - 1, result.end());
      to = dense_strides(result);
      std::rotate(to.begin() + 1, to.begin() + 2, to.end());
    }
    Walk walk;
    const auto add = [&](const Dim& extent, const Dim& source, const Dim& target) {
      walk.extents.push_back(extent);
      walk.source.push_back(source);
      walk.target.push_back(target);
    };
    add(p_.batch, from[0], to[0]);
    for (size_t d = 0; d < axes; ++d) {
      add(places_[d], from[1 + d], to[1 + d] * p_.stride[d]);
      add(p_.stride[d], from[2 + axes + d], to[1 + d]);
    }
    if (p_.groups > 1) add(p_.groups, from[1 + axes], to.back() * channels);
    add(channels, from.back(), to.back());
    return copy(walk, phases, output_operand());
  }

  const RecipeSite& site_;
  const TransposedConvProblem& p_;
  std::vector<Axis> axes_;
  std::vector<Dim> places_;  // out / stride
  NodeRecipe recipe_;
};

}  // namespace

bool takes_transposed_conv(const TransposedConvProblem& p) {
  for (size_t d = 0; d < p.out.size(); ++d) {
    if (!(p.out[d] / Dim(p.stride[d]) * p.stride[d] == p.out[d])) return false;
  }
  // The axes that put_side_by_side() walks.
  if (2 * p.out.size() + (p.groups > 1 ? 3 : 2) > kCopyDims) return false;
  constexpr int64_t kMostGrowth = 8;  // that of a kernel of one element by strides of 2x2x2
  const int64_t taps = product_of(p.kernel);
  int64_t room = kMostGrowth * taps, phases = 1, offsets = 1;
  for (const Axis& axis : axes_of(p)) {
    room = room / axis.stride / axis.offsets();
    if (room == 0) return false;
    phases *= axis.stride;
    offsets *= axis.offsets();
  }
  // The columns of each group fill panels of their own: those of one channel and one phase grow by
  // a whole panel, and none may grow by more.
  const int64_t channels = p.out_channels / p.groups;
  return offsets * padded_columns(phases * channels) <= kPanel * taps * channels;
}

absl::StatusOr<NodeRecipe> transposed_conv_recipe(const RecipeSite& site,
                                                  const TransposedConvProblem& problem) {
  return TransposedConvSteps(site, problem).take();
}

}  // namespace modellib::cpu
