#include "modellib/executors/cpu/kernels/conv_gemm.h"

#include <algorithm>
#include <cstring>

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

using S = ConvGemmScalars;
constexpr char kName[] = "cpu.conv_f32";

// Copies `count` floats; short runs are common, and a call for each would cost more than they do.
inline void copy_floats(const float* from, int64_t count, float* to) {
  if (count > 64) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (; count >= 8; count -= 8, from += 8, to += 8) std::memcpy(to, from, 8 * sizeof(float));
  if (count >= 4) {
    std::memcpy(to, from, 4 * sizeof(float));
    from += 4, to += 4, count -= 4;
  }
  for (int64_t i = 0; i < 3; ++i) {
    if (i < count) to[i] = from[i];
  }
}

// What windows see beyond the image, for a run of one block of k.
alignas(64) constexpr float kNothing[kMaxKBlock] = {};

// With the frames around it.
static_assert(size_t{kGatheredStackBytes} + 16384 <= runtime::kKernelStackBytes);

// What the windows of one group see, as rows of a matrix. Columns go by kernel place, then channel.
class Windows {
 public:
  Windows(const S& s, const float* x, int64_t group)
      : s_(s),
        x_(x + group * (s.in_channels / s.groups)),
        channels_(s.in_channels / s.groups),
        line_(s.kernel[2] * channels_) {}

  static void copy(const void* context, int64_t m0, int64_t rows, int64_t k0, int64_t columns,
                   float* to, int64_t stride) {
    for (int64_t r = 0; r < rows; r += kRows) {
      static_cast<const Windows*>(context)->copy_rows(m0 + r, std::min(kRows, rows - r), k0,
                                                      columns, to + r * stride, stride);
    }
  }

  static void find(const void* context, int64_t m0, int64_t rows, int64_t k0, int64_t columns,
                   const float** to, int64_t stride, float* scratch) {
    const auto& windows = *static_cast<const Windows*>(context);
    for (int64_t r = 0; r < rows; r += kRows) {
      const int64_t count = std::min(kRows, rows - r);
      if (windows.runs_are_lines()) {
        windows.find_lines(m0 + r, count, k0, columns, to + r, stride, scratch + r * columns);
      } else {
        windows.find_places(m0 + r, count, k0, columns, to + r, stride);
      }
    }
  }
  int64_t run() const { return runs_are_lines() ? line_ : channels_; }

 private:
  static constexpr int64_t kRows = 96;

  // Where a window begins; may lie before the image.
  struct Origin {
    const float* image;
    int64_t at[3];
  };

  void find_origins(int64_t m0, int64_t rows, Origin* origins) const {
    int64_t at[3], m = m0;
    for (int d = 3; d-- > 0;) {
      at[d] = m % s_.out[d];
      m /= s_.out[d];
    }
    const int64_t image_floats = s_.in[0] * s_.in[1] * s_.in[2] * s_.in_channels;
    const float* image = x_ + m * image_floats;
    for (int64_t r = 0; r < rows; ++r) {
      origins[r].image = image;
      for (int d = 0; d < 3; ++d) origins[r].at[d] = at[d] * s_.stride[d] - s_.pad_low[d];
      // The next window.
      int d = 2;
      while (d >= 0 && ++at[d] == s_.out[d]) at[d--] = 0;
      if (d < 0) image += image_floats;
    }
  }

  // Few channels are too short for a run. Neighbouring places of a window may be neighbours in
  // memory, too.
  bool runs_are_lines() const {
    return channels_ < kLeastRun && s_.dilation[2] == 1 && s_.groups == 1;
  }

  // Lines of windows, of which those that reach beyond the image are copied.
  void find_lines(int64_t m0, int64_t rows, int64_t k0, int64_t columns, const float** to,
                  int64_t stride, float* scratch) const {
    Origin origins[kRows];
    find_origins(m0, rows, origins);
    for (int64_t k = k0; k < k0 + columns; to += stride) {
      const int64_t number = k / line_, first = k % line_;
      const int64_t last = std::min(line_, first + k0 + columns - k);
      const int64_t tap0 = number / s_.kernel[1] * s_.dilation[0];
      const int64_t tap1 = number % s_.kernel[1] * s_.dilation[1];
      for (int64_t r = 0; r < rows; ++r) {
        const Origin& origin = origins[r];
        const int64_t i0 = origin.at[0] + tap0, i1 = origin.at[1] + tap1;
        if (i0 < 0 || i0 >= s_.in[0] || i1 < 0 || i1 >= s_.in[1]) {
          to[r] = kNothing;
          continue;
        }
        const float* line = origin.image + (i0 * s_.in[1] + i1) * s_.in[2] * s_.in_channels;
        if (origin.at[2] >= 0 && origin.at[2] + s_.kernel[2] <= s_.in[2]) {
          to[r] = line + origin.at[2] * channels_ + first;
        } else {
          copy_line(line, origin.at[2], first, last, scratch);
          to[r] = scratch;
          scratch += last - first;
        }
      }
      k += last - first;
    }
  }

  // Places of windows.
  void find_places(int64_t m0, int64_t rows, int64_t k0, int64_t columns, const float** to,
                   int64_t stride) const {
    Origin origins[kRows];
    find_origins(m0, rows, origins);
    for (int64_t k = k0; k < k0 + columns; to += stride) {
      const int64_t place = k / channels_, channel = k % channels_;
      const int64_t line = place / s_.kernel[2];
      const int64_t tap[3] = {line / s_.kernel[1] * s_.dilation[0],
                              line % s_.kernel[1] * s_.dilation[1],
                              place % s_.kernel[2] * s_.dilation[2]};
      for (int64_t r = 0; r < rows; ++r) {
        const Origin& origin = origins[r];
        const int64_t i0 = origin.at[0] + tap[0], i1 = origin.at[1] + tap[1],
                      i2 = origin.at[2] + tap[2];
        const bool inside =
            i0 >= 0 && i0 < s_.in[0] && i1 >= 0 && i1 < s_.in[1] && i2 >= 0 && i2 < s_.in[2];
        to[r] = inside ? origin.image + ((i0 * s_.in[1] + i1) * s_.in[2] + i2) * s_.in_channels +
                             channel
                       : kNothing;
      }
      k += channels_ - channel;
    }
  }

  void copy_rows(int64_t m0, int64_t rows, int64_t k0, int64_t columns, float* to,
                 int64_t stride) const {
    Origin origins[kRows];
    find_origins(m0, rows, origins);
    // Line by line of the kernel (its last axis and the channels).
    for (int64_t k = k0; k < k0 + columns;) {
      const int64_t number = k / line_, first = k % line_;
      const int64_t last = std::min(line_, first + k0 + columns - k);
      const int64_t tap0 = number / s_.kernel[1] * s_.dilation[0];
      const int64_t tap1 = number % s_.kernel[1] * s_.dilation[1];
      float* row = to + (k - k0);
      for (int64_t r = 0; r < rows; ++r, row += stride) {
        const Origin& origin = origins[r];
        const int64_t i0 = origin.at[0] + tap0, i1 = origin.at[1] + tap1;
        if (i0 < 0 || i0 >= s_.in[0] || i1 < 0 || i1 >= s_.in[1]) {
          std::fill_n(row, last - first, 0.0f);
        } else {
          copy_line(origin.image + (i0 * s_.in[1] + i1) * s_.in[2] * s_.in_channels, origin.at[2],
                    first, last, row);
        }
      }
      k += last - first;
    }
  }

  // Columns [first, last) of a line whose window begins at place `origin` of `line`.
  void copy_line(const float* line, int64_t origin, int64_t first, int64_t last, float* to) const {
    if (s_.dilation[2] == 1 && s_.groups == 1) {
      // Neighbouring places are neighbours in memory.
      if (origin >= 0 && origin + s_.kernel[2] <= s_.in[2]) {
        copy_floats(line + origin * channels_ + first, last - first, to);
        return;
      }
      const auto inside = [&](int64_t place) {
        return std::clamp(std::clamp<int64_t>(place, 0, s_.kernel[2]) * channels_, first, last);
      };
      const int64_t begin = inside(-origin), end = std::max(begin, inside(s_.in[2] - origin));
      std::fill(to, to + (begin - first), 0.0f);
      if (begin < end)
        copy_floats(line + origin * channels_ + begin, end - begin, to + (begin - first));
      std::fill(to + (end - first), to + (last - first), 0.0f);
      return;
    }
    for (int64_t k = first; k < last;) {
      const int64_t place = k / channels_, c = k % channels_;
      const int64_t count = std::min(channels_ - c, last - k);
      const int64_t i2 = origin + place * s_.dilation[2];
      if (i2 < 0 || i2 >= s_.in[2]) {
        std::fill_n(to, count, 0.0f);
      } else {
        copy_floats(line + i2 * s_.in_channels + c, count, to);
      }
      to += count;
      k += count;
    }
  }

  const S& s_;
  const float* x_;
  int64_t channels_, line_;
};

int64_t rows_of(const S& s) { return s.batch * s.out[0] * s.out[1] * s.out[2]; }

}  // namespace

int64_t conv_gemm_depth(const S& s) {
  return s.kernel[0] * s.kernel[1] * s.kernel[2] * (s.in_channels / s.groups);
}
int64_t conv_gemm_width(const S& s) { return s.out_channels / s.groups; }

void choose_conv_gemm_grain(S& s) {
  MatmulShape shape;
  shape.m = rows_of(s);
  shape.n = conv_gemm_width(s);
  shape.k = conv_gemm_depth(s);
  shape.b_constant = true;
  const MatmulPlan plan = plan_matmul(shape);
  s.m_grain = plan.m_grain;
  s.n_grain = plan.n_grain;
}

int64_t conv_gemm_filter_floats(const S& s) {
  return s.groups * packed_b_floats(conv_gemm_depth(s), conv_gemm_width(s));
}

std::vector<float> pack_conv_gemm_filter(const S& s, absl::Span<const float> filter) {
  const int64_t depth = conv_gemm_depth(s), width = conv_gemm_width(s);
  const int64_t channels = s.in_channels / s.groups, taps = depth / channels;
  std::vector<float> packed(static_cast<size_t>(conv_gemm_filter_floats(s)));
  std::vector<float> matrix(static_cast<size_t>(width * depth));
  for (int64_t g = 0; g < s.groups; ++g) {
    for (int64_t o = 0; o < width; ++o) {
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t t = 0; t < taps; ++t) {
          matrix[static_cast<size_t>(o * depth + t * channels + c)] =
              filter[static_cast<size_t>(((g * width + o) * channels + c) * taps + t)];
        }
      }
    }
    pack_b(depth, width, /*transposed=*/true, matrix.data(), depth,
           packed.data() + g * packed_b_floats(depth, width));
  }
  return packed;
}

absl::Status validate_conv_gemm(const runtime::StepView& step) {
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 4));
  constexpr int64_t kSmall = kMaxImageExtent;
  const auto at = [&](size_t i) { return step.scalars[i]; };
  for (size_t i = MODELLIB_SCALAR(S, kernel); i < step.scalars.size(); ++i) {
    if (at(i).min != at(i).max)
      return range_error(kName, "a static scalar", at(i), at(i).min, at(i).min);
  }
  MODELLIB_CHECK_SCALAR(kName, step, S, batch, 0, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, in_channels, 1, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, out_channels, 1, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, groups, 1, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, has_bias, 0, 1);
  MODELLIB_CHECK_SCALAR(kName, step, S, residual, 0, kResidualAtCount - 1);
  MODELLIB_CHECK_SCALAR(kName, step, S, activation, 0, kActivationCount - 1);
  MODELLIB_CHECK_SCALAR(kName, step, S, m_grain, 1, kMaxElements);
  MODELLIB_CHECK_SCALAR(kName, step, S, n_grain, 1, kMaxElements);
  if (at(MODELLIB_SCALAR(S, n_grain)).min % kPanel != 0)
    return absl::InvalidArgumentError("cpu.conv_f32: n_grain is no multiple of a panel");
  if (!in_range(step.chunks, 0, kMaxElements))
    return range_error(kName, "chunks", step.chunks, 0, kMaxElements);
  S s;
  s.in_channels = at(MODELLIB_SCALAR(S, in_channels)).min;
  s.out_channels = at(MODELLIB_SCALAR(S, out_channels)).min;
  s.groups = at(MODELLIB_SCALAR(S, groups)).min;
  if (s.in_channels % s.groups != 0 || s.out_channels % s.groups != 0)
    return absl::InvalidArgumentError("cpu.conv_f32: channels must be multiples of groups");
  const int64_t batch = std::max<int64_t>(1, at(MODELLIB_SCALAR(S, batch)).max);
  int64_t x = checked_product(batch, s.in_channels), y = checked_product(batch, s.out_channels);
  int64_t depth = s.in_channels / s.groups;
  for (size_t d = 0; d < 3; ++d) {
    for (const size_t field :
         {MODELLIB_SCALAR(S, in), MODELLIB_SCALAR(S, out), MODELLIB_SCALAR(S, kernel),
          MODELLIB_SCALAR(S, stride), MODELLIB_SCALAR(S, dilation)}) {
      if (!in_range(at(field + d), 1, kSmall))
        return range_error(kName, "a spatial extent", at(field + d), 1, kSmall);
    }
    if (!in_range(at(MODELLIB_SCALAR(S, pad_low) + d), 0, kSmall))
      return range_error(kName, "pad_low", at(MODELLIB_SCALAR(S, pad_low) + d), 0, kSmall);
    x = checked_product(x, at(MODELLIB_SCALAR(S, in) + d).max);
    y = checked_product(y, at(MODELLIB_SCALAR(S, out) + d).max);
    s.kernel[d] = at(MODELLIB_SCALAR(S, kernel) + d).min;
    depth = checked_product(depth, s.kernel[d]);
  }
  const int64_t filter =
      checked_product(s.groups, checked_product(depth, padded_columns(s.out_channels / s.groups)));
  if (!dense_fits({x}, 4, step.input_bytes[0]))
    return operand_error(kName, "x", step.input_bytes[0]);
  if (!dense_fits({filter}, 4, step.input_bytes[1]))
    return operand_error(kName, "the filter", step.input_bytes[1]);
  if (at(MODELLIB_SCALAR(S, has_bias)).min != 0 &&
      !dense_fits({s.out_channels}, 4, step.input_bytes[2]))
    return operand_error(kName, "the bias", step.input_bytes[2]);
  const auto residual = static_cast<ResidualAt>(at(MODELLIB_SCALAR(S, residual)).min);
  if (residual != ResidualAt::kNone && !dense_fits({y}, 4, step.input_bytes[3]))
    return operand_error(kName, "the residual", step.input_bytes[3]);
  if (!dense_fits({y}, 4, step.output_bytes[0]))
    return operand_error(kName, "y", step.output_bytes[0]);
  const int alias = step.aliases[0];
  if (alias >= 0 && !(residual == ResidualAt::kBeforeActivation && alias == 3))
    return absl::InvalidArgumentError(
        "cpu.conv_f32: can share memory with a residual before the activation only");
  return absl::OkStatus();
}

void run_conv_gemm(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<S>(args);
  const int64_t depth = conv_gemm_depth(s), width = conv_gemm_width(s);
  MatmulScalars m;
  m.m = rows_of(s);
  m.n = width;
  m.k = depth;
  m.ldc = m.ld_residual = s.out_channels;
  m.b_layout = static_cast<int64_t>(BLayout::kPacked);
  m.bias_axis = static_cast<int64_t>(s.has_bias != 0 ? BiasAxis::kN : BiasAxis::kNone);
  m.residual = s.residual;
  m.activation = s.activation;
  m.m_grain = s.m_grain;
  m.n_grain = s.n_grain;
  const int64_t per_group = matmul_chunks(m);
  if (per_group == 0) return;
  const int64_t group = chunk / per_group;
  if (group >= s.groups) return;
  const bool pointwise = std::all_of(s.kernel, s.kernel + 3, [](int64_t k) { return k == 1; }) &&
                         std::all_of(s.stride, s.stride + 3, [](int64_t k) { return k == 1; }) &&
                         std::equal(s.in, s.in + 3, s.out);
  const auto operand = [&](int i, int64_t offset) {
    float* p = reinterpret_cast<float*>(args.buffers[i]);
    return p == nullptr ? nullptr : p + offset;
  };
  if (pointwise) {  // x is the matrix
    m.lda = s.in_channels;
    matmul_chunk(m, operand(1, group * depth), operand(2, group * packed_b_floats(depth, width)),
                 operand(3, group * width), operand(4, group * width), operand(0, group * width),
                 chunk % per_group);
    return;
  }
  const Windows windows(s, operand(1, 0), group);
  matmul_gathered_chunk(m, {Windows::copy, Windows::find, windows.run(), &windows},
                        operand(2, group * packed_b_floats(depth, width)),
                        operand(3, group * width), operand(4, group * width),
                        operand(0, group * width), chunk % per_group);
}

}  // namespace modellib::cpu
