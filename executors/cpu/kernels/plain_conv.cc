#include "modellib/executors/cpu/kernels/plain_conv.h"

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

constexpr char kName[] = "cpu.plain_conv";

double wide(double v) { return v; }
double wide(float v) { return v; }
double wide(Float16 v) { return to_f32(v); }
double wide(BFloat16 v) { return to_f32(v); }
void narrow(double v, double& to) { to = v; }
void narrow(double v, float& to) { to = static_cast<float>(v); }
void narrow(double v, Float16& to) { to = to_f16(static_cast<float>(v)); }
void narrow(double v, BFloat16& to) { to = to_bf16(static_cast<float>(v)); }

int64_t plane(const int64_t extents[3]) { return extents[0] * extents[1] * extents[2]; }

// Where element (batch, channel, place) of an image lies.
struct Image {
  int64_t batch_stride, channel_stride, place_stride;
  Image(const PlainConvScalars& s, int64_t channels, const int64_t extents[3])
      : batch_stride(channels * plane(extents)),
        channel_stride(s.channels_last != 0 ? 1 : plane(extents)),
        place_stride(s.channels_last != 0 ? channels : 1) {}
  int64_t at(int64_t batch, int64_t channel, int64_t place) const {
    return batch * batch_stride + channel * channel_stride + place * place_stride;
  }
};

// Calls f(c0, c1, c2, number) for each place of a box.
template <class F>
void for_each_place(const int64_t extents[3], F f) {
  int64_t number = 0;
  for (int64_t a = 0; a < extents[0]; ++a) {
    for (int64_t b = 0; b < extents[1]; ++b) {
      for (int64_t c = 0; c < extents[2]; ++c) f(a, b, c, number++);
    }
  }
}

// The place of x that the window of output place (o0, o1, o2) reads by tap (k0, k1, k2); -1:
// padding.
int64_t source(const PlainConvScalars& s, const int64_t (&o)[3], const int64_t (&k)[3]) {
  int64_t place = 0;
  for (int d = 0; d < 3; ++d) {
    const int64_t i = o[d] * s.stride[d] - s.pad_low[d] + k[d] * s.dilation[d];
    if (i < 0 || i >= s.in[d]) return -1;
    place = place * s.in[d] + i;
  }
  return place;
}

// The place of y whose window reads place (i0, i1, i2) of x by tap (k0, k1, k2); -1: none does.
int64_t target(const PlainConvScalars& s, const int64_t (&i)[3], const int64_t (&k)[3]) {
  int64_t place = 0;
  for (int d = 0; d < 3; ++d) {
    const int64_t start = i[d] + s.pad_low[d] - k[d] * s.dilation[d];
    if (start < 0 || start % s.stride[d] != 0 || start / s.stride[d] >= s.out[d]) return -1;
    place = place * s.out[d] + start / s.stride[d];
  }
  return place;
}

template <class T>
class PlainConv {
 public:
  PlainConv(const PlainConvScalars& s, const runtime::KernelArgs& args)
      : s_(s),
        per_group_in_(s.in_channels / s.groups),
        per_group_out_(s.out_channels / s.groups),
        taps_(plane(s.kernel)),
        x_(s, s.in_channels, s.in),
        y_(s, s.out_channels, s.out),
        out_(reinterpret_cast<T*>(args.buffers[0])),
        first_(reinterpret_cast<const T*>(args.buffers[1])),
        second_(reinterpret_cast<const T*>(args.buffers[2])) {}

  // y of one image and channel from x and w.
  void forward(int64_t batch, int64_t oc) const {
    const int64_t first = oc / per_group_out_ * per_group_in_;
    for_each_place(s_.out, [&](int64_t o0, int64_t o1, int64_t o2, int64_t to) {
      double sum = 0;
      for_each_place(s_.kernel, [&](int64_t k0, int64_t k1, int64_t k2, int64_t tap) {
        const int64_t from = source(s_, {o0, o1, o2}, {k0, k1, k2});
        if (from < 0) return;
        for (int64_t c = 0; c < per_group_in_; ++c) {
          sum += wide(first_[x_.at(batch, first + c, from)]) * wide(second_[weight(oc, c, tap)]);
        }
      });
      narrow(sum, out_[y_.at(batch, oc, to)]);
    });
  }

  // x of one image and channel from y and w.
  void input_gradient(int64_t batch, int64_t ic) const {
    const int64_t first = ic / per_group_in_ * per_group_out_, c = ic % per_group_in_;
    for_each_place(s_.in, [&](int64_t i0, int64_t i1, int64_t i2, int64_t to) {
      double sum = 0;
      for_each_place(s_.kernel, [&](int64_t k0, int64_t k1, int64_t k2, int64_t tap) {
        const int64_t from = target(s_, {i0, i1, i2}, {k0, k1, k2});
        if (from < 0) return;
        for (int64_t oc = first; oc < first + per_group_out_; ++oc) {
          sum += wide(first_[y_.at(batch, oc, from)]) * wide(second_[weight(oc, c, tap)]);
        }
      });
      narrow(sum, out_[x_.at(batch, ic, to)]);
    });
  }

  // The filter between one channel of x and one of y.
  void filter_gradient(int64_t oc, int64_t c) const {
    const int64_t ic = oc / per_group_out_ * per_group_in_ + c;
    for_each_place(s_.kernel, [&](int64_t k0, int64_t k1, int64_t k2, int64_t tap) {
      double sum = 0;
      for_each_place(s_.out, [&](int64_t o0, int64_t o1, int64_t o2, int64_t to) {
        const int64_t from = source(s_, {o0, o1, o2}, {k0, k1, k2});
        if (from < 0) return;
        for (int64_t b = 0; b < s_.batch; ++b) {
          sum += wide(first_[x_.at(b, ic, from)]) * wide(second_[y_.at(b, oc, to)]);
        }
      });
      narrow(sum, out_[weight(oc, c, tap)]);
    });
  }

 private:
  int64_t weight(int64_t oc, int64_t c, int64_t tap) const {
    return (oc * per_group_in_ + c) * taps_ + tap;
  }

  const PlainConvScalars& s_;
  int64_t per_group_in_, per_group_out_, taps_;
  Image x_, y_;
  T* out_;
  const T *first_, *second_;
};

template <class T>
void run(const PlainConvScalars& s, const runtime::KernelArgs& args, int64_t chunk) {
  const PlainConv<T> conv(s, args);
  switch (static_cast<PlainConvKind>(s.kind)) {
    case PlainConvKind::kForward:
      if (chunk < s.batch * s.out_channels)
        conv.forward(chunk / s.out_channels, chunk % s.out_channels);
      break;
    case PlainConvKind::kInputGradient:
      if (chunk < s.batch * s.in_channels)
        conv.input_gradient(chunk / s.in_channels, chunk % s.in_channels);
      break;
    case PlainConvKind::kFilterGradient:
      const int64_t per_group = s.in_channels / s.groups;
      if (chunk < s.out_channels * per_group)
        conv.filter_gradient(chunk / per_group, chunk % per_group);
      break;
  }
}

}  // namespace

absl::Status validate_plain_conv(const runtime::StepView& step) {
  using S = PlainConvScalars;
  MODELLIB_RETURN_IF_ERROR(check_counts<S>(kName, step, 1, 2));
  const auto at = [&](size_t i) { return step.scalars[i]; };
  for (const size_t field : {MODELLIB_SCALAR(S, kind), MODELLIB_SCALAR(S, dtype),
                             MODELLIB_SCALAR(S, channels_last), MODELLIB_SCALAR(S, in_channels),
                             MODELLIB_SCALAR(S, out_channels), MODELLIB_SCALAR(S, groups)}) {
    if (at(field).min != at(field).max)
      return range_error(kName, "a static scalar", at(field), at(field).min, at(field).min);
  }
  constexpr int64_t kSmall = kMaxImageExtent;
  MODELLIB_CHECK_SCALAR(kName, step, S, kind, 0, 2);
  MODELLIB_CHECK_SCALAR(kName, step, S, channels_last, 0, 1);
  MODELLIB_CHECK_SCALAR(kName, step, S, batch, 0, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, in_channels, 1, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, out_channels, 1, kSmall);
  MODELLIB_CHECK_SCALAR(kName, step, S, groups, 1, kSmall);
  if (!in_range(step.chunks, 0, kMaxElements))
    return range_error(kName, "chunks", step.chunks, 0, kMaxElements);
  const auto dtype = static_cast<DType>(at(MODELLIB_SCALAR(S, dtype)).min);
  if (dtype != DType::kF64 && dtype != DType::kF32 && dtype != DType::kF16 &&
      dtype != DType::kBF16) {
    return absl::InvalidArgumentError("cpu.plain_conv: takes f64, f32, f16 and bf16");
  }
  const int64_t groups = at(MODELLIB_SCALAR(S, groups)).min;
  const int64_t in = at(MODELLIB_SCALAR(S, in_channels)).min;
  const int64_t out = at(MODELLIB_SCALAR(S, out_channels)).min;
  if (in % groups != 0 || out % groups != 0)
    return absl::InvalidArgumentError("cpu.plain_conv: channels must be multiples of groups");
  const int64_t batch = std::max<int64_t>(1, at(MODELLIB_SCALAR(S, batch)).max);
  int64_t x = checked_product(batch, in), y = checked_product(batch, out);
  int64_t w = checked_product(out, in / groups);
  for (size_t d = 0; d < 3; ++d) {
    for (const size_t field :
         {MODELLIB_SCALAR(S, in), MODELLIB_SCALAR(S, out), MODELLIB_SCALAR(S, kernel),
          MODELLIB_SCALAR(S, stride), MODELLIB_SCALAR(S, dilation)}) {
      if (!in_range(at(field + d), 1, kSmall))
        return range_error(kName, "a spatial extent", at(field + d), 1, kSmall);
    }
    if (!in_range(at(MODELLIB_SCALAR(S, pad_low) + d), -kSmall, kSmall))
      return range_error(kName, "pad_low", at(MODELLIB_SCALAR(S, pad_low) + d), -kSmall, kSmall);
    x = checked_product(x, at(MODELLIB_SCALAR(S, in) + d).max);
    y = checked_product(y, at(MODELLIB_SCALAR(S, out) + d).max);
    w = checked_product(w, at(MODELLIB_SCALAR(S, kernel) + d).max);
  }
  const auto kind = static_cast<PlainConvKind>(at(MODELLIB_SCALAR(S, kind)).min);
  const int64_t element = bits_of(dtype) / 8;
  const int64_t result = kind == PlainConvKind::kForward         ? y
                         : kind == PlainConvKind::kInputGradient ? x
                                                                 : w;
  const int64_t first = kind == PlainConvKind::kInputGradient ? y : x;
  const int64_t second = kind == PlainConvKind::kFilterGradient ? y : w;
  if (!dense_fits({result}, element, step.output_bytes[0]))
    return operand_error(kName, "the output", step.output_bytes[0]);
  if (!dense_fits({first}, element, step.input_bytes[0]))
    return operand_error(kName, "the first operand", step.input_bytes[0]);
  if (!dense_fits({second}, element, step.input_bytes[1]))
    return operand_error(kName, "the second operand", step.input_bytes[1]);
  if (step.aliases[0] >= 0)
    return absl::InvalidArgumentError("cpu.plain_conv: cannot run in place");
  return absl::OkStatus();
}

void run_plain_conv(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<PlainConvScalars>(args);
  switch (static_cast<DType>(s.dtype)) {
    case DType::kF64:
      return run<double>(s, args, chunk);
    case DType::kF32:
      return run<float>(s, args, chunk);
    case DType::kF16:
      return run<Float16>(s, args, chunk);
    default:
      return run<BFloat16>(s, args, chunk);
  }
}

}  // namespace modellib::cpu
