#include "modellib/executors/cpu/kernels/conv.h"

#include <algorithm>
#include <cstring>

#include <omp.h>

#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/graph/status_macros.h"
#include "oneapi/dnnl/dnnl.h"

namespace modellib::cpu {
namespace {

constexpr char kName[] = "cpu.conv2d";
constexpr int64_t kMaxExtent = int64_t{1} << 20;
constexpr int64_t kMaxPieces = 16;
// Of the partial gradients of a filter, where the batch is free.
constexpr int64_t kPartBytes = int64_t{1} << 26;

absl::Status check(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(kName, ": oneDNN cannot ", what, " (status ", static_cast<int>(status), ")"));
}

dnnl_engine_t engine() {
  // Made once for the process; a CPU engine holds nothing but its kind.
  static dnnl_engine_t made = [] {
    dnnl_engine_t e = nullptr;
    return dnnl_engine_create(&e, dnnl_cpu, 0) == dnnl_success ? e : nullptr;
  }();
  return made;
}

// One primitive and where its operands start within those of an image.
struct Piece {
  dnnl_primitive_desc_t desc = nullptr;
  dnnl_primitive_t primitive = nullptr;
  int64_t x_offset = 0, w_offset = 0, bias_offset = 0, y_offset = 0;  // elements

  Piece() = default;
  Piece(Piece&& other) noexcept { *this = std::move(other); }
  Piece& operator=(Piece&& other) noexcept {
    std::swap(desc, other.desc);
    std::swap(primitive, other.primitive);
    x_offset = other.x_offset;
    w_offset = other.w_offset;
    bias_offset = other.bias_offset;
    y_offset = other.y_offset;
    return *this;
  }
  ~Piece() {
    if (primitive != nullptr) dnnl_primitive_destroy(primitive);
    if (desc != nullptr) dnnl_primitive_desc_destroy(desc);
  }
  const dnnl_memory_desc_t* md(dnnl_query_t what) const {
    return dnnl_primitive_desc_query_md(desc, what, 0);
  }
};

class ConvState : public runtime::KernelState {
 public:
  std::vector<Piece> pieces;
  Piece one;  // filter gradient: for the images of a part that is not full
};

int64_t filter_elements(const ConvScalars& s) {
  return s.out_channels * (s.in_channels / s.groups) * s.kernel[0] * s.kernel[1];
}
int64_t in_elements(const ConvScalars& s) { return s.in_channels * s.in[0] * s.in[1]; }
int64_t out_elements(const ConvScalars& s) { return s.out_channels * s.out[0] * s.out[1]; }

// Numbers the ways in which a filter may lie, so that a plan can say which one it was packed for.
int64_t layout_number(const dnnl_memory_desc_t& md) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&](int64_t v) { hash = (hash ^ static_cast<uint64_t>(v)) * 0x100000001b3; };
  mix(md.ndims);
  mix(md.format_kind);
  const dnnl_blocking_desc_t& b = md.format_desc.blocking;
  for (int d = 0; d < md.ndims; ++d) {
    mix(md.padded_dims[d]);
    mix(b.strides[d]);
  }
  for (int i = 0; i < b.inner_nblks; ++i) {
    mix(b.inner_blks[i]);
    mix(b.inner_idxs[i]);
  }
  mix(static_cast<int64_t>(md.extra.flags));
  return static_cast<int64_t>(hash & 0x7fffffffffffffff);
}

// Whether every window sees an element. oneDNN 2.6.3 crashes where none is seen, the filter is
// packed and a relu follows.
bool windows_see_elements(const ConvScalars& s) {
  for (int d = 0; d < 2; ++d) {
    for (int64_t o = 0; o < s.out[d]; ++o) {
      const int64_t start = o * s.stride[d] - s.pad_low[d];
      const int64_t tap = start >= 0 ? 0 : ceil_div(-start, s.dilation[d]);
      if (tap >= s.kernel[d] || start + tap * s.dilation[d] >= s.in[d]) return false;
    }
  }
  return true;
}

absl::Status check_extents(const ConvScalars& s) {
  const auto positive = [](int64_t v) { return v >= 1 && v <= kMaxExtent; };
  bool ok = s.kind >= 0 && s.kind <= 2 && (s.layout == 0 || s.layout == 1) &&
            positive(s.in_channels) && positive(s.out_channels) && positive(s.groups) &&
            s.in_channels % s.groups == 0 && s.out_channels % s.groups == 0 && s.pieces >= 1 &&
            s.pieces <= kMaxPieces && positive(s.images_per_part) && s.scratch_bytes >= 0 &&
            s.scratch_bytes < (int64_t{1} << 40) && s.scratch_bytes % 64 == 0 &&
            s.filter_bytes >= 0 && s.filter_bytes < (int64_t{1} << 40) &&
            (s.has_bias == 0 || s.has_bias == 1) && s.activation >= 0 &&
            s.activation < kActivationCount && (s.accumulates == 0 || s.accumulates == 1);
  for (int d = 0; ok && d < 2; ++d) {
    ok = positive(s.in[d]) && positive(s.out[d]) && positive(s.kernel[d]) &&
         positive(s.stride[d]) && positive(s.dilation[d]) && s.pad_low[d] >= 0 &&
         s.pad_low[d] <= kMaxExtent && s.pad_high[d] >= 0 && s.pad_high[d] <= kMaxExtent;
    if (!ok) break;
    const int64_t room =
        s.in[d] + s.pad_low[d] + s.pad_high[d] - s.dilation[d] * (s.kernel[d] - 1) - 1;
    ok = room >= 0 && s.out[d] == room / s.stride[d] + 1;
  }
  const auto product = [](std::initializer_list<int64_t> extents) {
    int64_t p = 1;
    for (const int64_t e : extents) p = checked_product(p, e);
    return p;
  };
  constexpr int64_t kLimit = int64_t{1} << 40;
  ok = ok && product({s.in_channels, s.in[0], s.in[1], s.images_per_part}) <= kLimit &&
       product({s.out_channels, s.out[0], s.out[1], s.images_per_part}) <= kLimit &&
       product({s.out_channels, s.in_channels, s.kernel[0], s.kernel[1]}) <= kLimit;
  if (s.kind != 0)
    ok = ok && s.pieces == 1 && s.filter_bytes == 0 && !s.has_bias && !s.activation &&
         !s.accumulates;
  // Only the filter's gradient takes several images at a time.
  ok = ok && (s.images_per_part == 1 || s.kind == static_cast<int64_t>(ConvKind::kFilterGradient));
  if (s.kind == 0 && s.layout == 0 && s.pieces > 1) {
    ok = ok && s.groups == 1 && s.out_channels % s.pieces == 0 && s.filter_bytes == 0;
  }
  if (s.pieces > 1 && s.layout == 1) ok = ok && s.pieces <= s.out[0];
  ok = ok && (s.filter_bytes == 0 || windows_see_elements(s));
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(kName, ": the extents do not fit one another"));
}

dnnl_status_t append_activation(dnnl_post_ops_t post, Activation activation) {
  const auto append = [&](dnnl_alg_kind_t kind, float alpha = 0.0f, float beta = 0.0f) {
    return dnnl_post_ops_append_eltwise(post, 1.0f, kind, alpha, beta);
  };
  switch (activation) {
    case Activation::kNone:
      return dnnl_success;
    case Activation::kRelu:
      return append(dnnl_eltwise_relu);
    case Activation::kGeluErf:
      return append(dnnl_eltwise_gelu_erf);
    case Activation::kGeluTanh:
      return append(dnnl_eltwise_gelu_tanh);
    case Activation::kSilu:
      return append(dnnl_eltwise_swish, 1.0f);
    case Activation::kSigmoid:
      return append(dnnl_eltwise_logistic);
    case Activation::kTanh:
      return append(dnnl_eltwise_tanh);
    case Activation::kRelu6:
      return append(dnnl_eltwise_clip, 0.0f, 6.0f);
    case Activation::kHardSwish:
      return append(dnnl_eltwise_hardswish);
    case Activation::kHardSigmoid: {
      const dnnl_status_t status = append(dnnl_eltwise_linear, 1.0f / 6.0f, 0.5f);
      return status == dnnl_success ? append(dnnl_eltwise_clip, 0.0f, 1.0f) : status;
    }
  }
  return dnnl_invalid_arguments;
}

// OpenMP's pool would fight the runtime's workers. The setting is this thread's own, and the thread
// may be the host's: it gets its own number back.
class OneOpenMpThread {
 public:
  OneOpenMpThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneOpenMpThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  const int before_;
};

// Piece `i`; `filter`: how the filter lies (null: plain, or the primitive's choice where `pack`).
absl::StatusOr<Piece> make_piece(const ConvScalars& s, int64_t i, bool pack,
                                 const dnnl_memory_desc_t* filter) {
  if (engine() == nullptr) return absl::InternalError("cpu.conv2d: oneDNN has no CPU engine");
  const OneOpenMpThread alone;
  Piece piece;
  const bool last = s.layout == static_cast<int64_t>(ImageLayout::kChannelsLast);
  int64_t out_channels = s.out_channels;
  int64_t rows[2] = {0, s.out[0]};  // of the output
  int64_t in_rows[2] = {0, s.in[0]};
  int64_t pad_low = s.pad_low[0], pad_high = s.pad_high[0];
  if (s.pieces > 1 && last) {
    rows[0] = i * s.out[0] / s.pieces;
    rows[1] = (i + 1) * s.out[0] / s.pieces;
    const int64_t begin = rows[0] * s.stride[0] - s.pad_low[0];
    const int64_t end =
        (rows[1] - 1) * s.stride[0] - s.pad_low[0] + (s.kernel[0] - 1) * s.dilation[0] + 1;
    in_rows[0] = std::clamp<int64_t>(begin, 0, s.in[0]);
    in_rows[1] = std::clamp<int64_t>(end, in_rows[0], s.in[0]);
    pad_low = in_rows[0] - begin;
    pad_high = end - in_rows[1];
    if (in_rows[0] == in_rows[1] || pad_low < 0 || pad_high < 0) {
      return absl::InvalidArgumentError("cpu.conv2d: a band of rows sees nothing but padding");
    }
    piece.x_offset = in_rows[0] * s.in[1] * s.in_channels;
    piece.y_offset = rows[0] * s.out[1] * s.out_channels;
  } else if (s.pieces > 1) {
    out_channels = s.out_channels / s.pieces;
    piece.w_offset = i * out_channels * s.in_channels * s.kernel[0] * s.kernel[1];
    piece.bias_offset = i * out_channels;
    piece.y_offset = i * out_channels * s.out[0] * s.out[1];
  }
  const int64_t images =
      s.kind == static_cast<int64_t>(ConvKind::kFilterGradient) ? s.images_per_part : 1;
  const dnnl_format_tag_t image = last ? dnnl_nhwc : dnnl_nchw;
  const dnnl_dims_t x_dims = {images, s.in_channels, in_rows[1] - in_rows[0], s.in[1]};
  const dnnl_dims_t y_dims = {images, out_channels, rows[1] - rows[0], s.out[1]};
  const dnnl_dims_t w_dims = {out_channels, s.in_channels / s.groups, s.kernel[0], s.kernel[1]};
  const dnnl_dims_t grouped = {s.groups, out_channels / s.groups, s.in_channels / s.groups,
                               s.kernel[0], s.kernel[1]};
  const dnnl_dims_t bias_dims = {out_channels};
  const dnnl_dims_t strides = {s.stride[0], s.stride[1]};
  const dnnl_dims_t dilates = {s.dilation[0] - 1, s.dilation[1] - 1};
  const dnnl_dims_t low = {pad_low, s.pad_low[1]};
  const dnnl_dims_t high = {pad_high, s.pad_high[1]};
  dnnl_memory_desc_t x, y, w, bias;
  MODELLIB_RETURN_IF_ERROR(
      check(dnnl_memory_desc_init_by_tag(&x, 4, x_dims, dnnl_f32, image), "describe x"));
  MODELLIB_RETURN_IF_ERROR(
      check(dnnl_memory_desc_init_by_tag(&y, 4, y_dims, dnnl_f32, image), "describe y"));
  MODELLIB_RETURN_IF_ERROR(check(
      dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a), "describe the bias"));
  if (filter != nullptr) {
    w = *filter;
  } else if (s.groups > 1) {
    MODELLIB_RETURN_IF_ERROR(
        check(dnnl_memory_desc_init_by_tag(&w, 5, grouped, dnnl_f32,
                                           pack ? dnnl_format_tag_any : dnnl_goihw),
              "describe the filter"));
  } else {
    MODELLIB_RETURN_IF_ERROR(
        check(dnnl_memory_desc_init_by_tag(&w, 4, w_dims, dnnl_f32,
                                           pack ? dnnl_format_tag_any : dnnl_oihw),
              "describe the filter"));
  }
  dnnl_convolution_desc_t desc;
  switch (static_cast<ConvKind>(s.kind)) {
    case ConvKind::kForward:
      MODELLIB_RETURN_IF_ERROR(
          check(dnnl_dilated_convolution_forward_desc_init(
                    &desc, dnnl_forward_inference, dnnl_convolution_direct, &x, &w,
                    s.has_bias ? &bias : nullptr, &y, strides, dilates, low, high),
                "describe the convolution"));
      break;
    case ConvKind::kInputGradient:
      MODELLIB_RETURN_IF_ERROR(
          check(dnnl_dilated_convolution_backward_data_desc_init(
                    &desc, dnnl_convolution_direct, &x, &w, &y, strides, dilates, low, high),
                "describe the gradient"));
      break;
    case ConvKind::kFilterGradient:
      MODELLIB_RETURN_IF_ERROR(check(
          dnnl_dilated_convolution_backward_weights_desc_init(
              &desc, dnnl_convolution_direct, &x, &w, nullptr, &y, strides, dilates, low, high),
          "describe the gradient"));
      break;
  }
  dnnl_primitive_attr_t attr = nullptr;
  MODELLIB_RETURN_IF_ERROR(check(dnnl_primitive_attr_create(&attr), "make attributes"));
  dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
  dnnl_post_ops_t post = nullptr;
  if (status == dnnl_success) status = dnnl_post_ops_create(&post);
  if (status == dnnl_success && s.accumulates != 0) status = dnnl_post_ops_append_sum(post, 1.0f);
  if (status == dnnl_success)
    status = append_activation(post, static_cast<Activation>(s.activation));
  if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, post);
  // A gradient needs no hint of the forward pass but its description.
  dnnl_primitive_desc_t hint = nullptr;
  if (status == dnnl_success && s.kind != 0) {
    dnnl_convolution_desc_t forward;
    status = dnnl_dilated_convolution_forward_desc_init(&forward, dnnl_forward_training,
                                                        dnnl_convolution_direct, &x, &w, nullptr,
                                                        &y, strides, dilates, low, high);
    if (status == dnnl_success)
      status = dnnl_primitive_desc_create(&hint, &forward, nullptr, engine(), nullptr);
  }
  if (status == dnnl_success)
    status = dnnl_primitive_desc_create(&piece.desc, &desc, attr, engine(), hint);
  if (status == dnnl_success) status = dnnl_primitive_create(&piece.primitive, piece.desc);
  if (hint != nullptr) dnnl_primitive_desc_destroy(hint);
  if (post != nullptr) dnnl_post_ops_destroy(post);
  dnnl_primitive_attr_destroy(attr);
  MODELLIB_RETURN_IF_ERROR(check(status, "make the primitive"));
  return piece;
}

// Whether the last part of a filter gradient may have fewer images than the others.
bool has_rest(const ConvScalars& s, bool batch_is_known) {
  return s.kind == static_cast<int64_t>(ConvKind::kFilterGradient) && s.images_per_part > 1 &&
         (!batch_is_known || s.batch % s.images_per_part != 0);
}

absl::StatusOr<std::unique_ptr<ConvState>> make_state(const ConvScalars& s, bool pack,
                                                      bool batch_is_known) {
  auto state = std::make_unique<ConvState>();
  for (int64_t i = 0; i < s.pieces; ++i) {
    const dnnl_memory_desc_t* filter =
        pack && i > 0 ? state->pieces[0].md(dnnl_query_weights_md) : nullptr;
    MODELLIB_ASSIGN_OR_RETURN(Piece piece, make_piece(s, i, pack, filter));
    state->pieces.push_back(std::move(piece));
  }
  if (has_rest(s, batch_is_known)) {
    ConvScalars one = s;
    one.images_per_part = 1;
    MODELLIB_ASSIGN_OR_RETURN(state->one, make_piece(one, 0, false, nullptr));
  }
  return state;
}

// The gradient of one image, which is then added to its part's.
int64_t rest_bytes(const ConvScalars& s) { return ceil_div(filter_elements(s) * 4, 64) * 64; }

int64_t scratch_of(const ConvScalars& s, const ConvState& state) {
  const auto of = [](const Piece& piece) {
    return static_cast<int64_t>(dnnl_memory_desc_get_size(piece.md(dnnl_query_scratchpad_md)));
  };
  int64_t bytes = 0;
  for (const Piece& piece : state.pieces) bytes = std::max(bytes, of(piece));
  const bool rest = state.one.desc != nullptr;
  if (rest) bytes = std::max(bytes, of(state.one));
  return ceil_div(bytes, 64) * 64 + (rest ? rest_bytes(s) : 0);
}

bool batch_is_known(const runtime::StepView& step) {
  const auto batch = step.scalars[MODELLIB_SCALAR(ConvScalars, batch)];
  return batch.min == batch.max;
}

// At the largest batch.
ConvScalars scalars_at_most(const runtime::StepView& step) {
  ConvScalars s;
  auto* values = reinterpret_cast<int64_t*>(&s);
  for (size_t i = 0; i < step.scalars.size(); ++i) values[i] = step.scalars[i].max;
  return s;
}

}  // namespace

absl::Status plan_conv(int64_t batch, bool pack, ConvScalars& s, ConvBatch known) {
  const bool batch_is_known = known == ConvBatch::kKnown;
  s.pieces = 1;
  s.images_per_part = 1;
  s.batch = batch;
  s.scratch_bytes = s.filter_bytes = s.filter_layout = 0;
  MODELLIB_RETURN_IF_ERROR(check_extents(s));
  const auto kind = static_cast<ConvKind>(s.kind);
  pack = pack && kind == ConvKind::kForward && windows_see_elements(s);
  if (kind == ConvKind::kFilterGradient) {
    // Few parts: each is a whole filter. At most 8, all of one size; with a free batch so many that
    // a small batch has several too, as far as filters are not large.
    int64_t parts = std::min<int64_t>(8, std::max<int64_t>(1, batch));
    if (batch_is_known) {
      while (batch % parts != 0) --parts;
    } else {
      const int64_t small = std::min(kPartBytes / (filter_elements(s) * 4), ceil_div(batch, 8));
      parts = std::max(parts, small);
    }
    s.images_per_part = std::max<int64_t>(1, ceil_div(batch, parts));
  } else if (kind == ConvKind::kForward && batch < 8) {
    const int64_t work = out_elements(s) * (s.in_channels / s.groups) * s.kernel[0] * s.kernel[1];
    const int64_t pieces =
        std::clamp<int64_t>(std::min(8 / std::max<int64_t>(1, batch), work >> 21), 1, 8);
    if (s.layout == static_cast<int64_t>(ImageLayout::kChannelsLast)) {
      s.pieces = std::min(pieces, std::max<int64_t>(1, s.out[0] / 4));
    } else if (s.groups == 1 && !pack) {
      s.pieces = pieces;
      while (s.out_channels % (s.pieces * 16) != 0 && s.pieces > 1) --s.pieces;
    }
  }
  auto state = make_state(s, pack, batch_is_known);
  if (!state.ok() && s.pieces > 1) {
    s.pieces = 1;
    state = make_state(s, pack, batch_is_known);
  }
  MODELLIB_RETURN_IF_ERROR(state.status());
  s.scratch_bytes = scratch_of(s, **state);
  if (pack) {
    const dnnl_memory_desc_t& filter = *(*state)->pieces[0].md(dnnl_query_weights_md);
    s.filter_bytes = static_cast<int64_t>(dnnl_memory_desc_get_size(&filter));
    s.filter_layout = layout_number(filter);
  }
  return absl::OkStatus();
}

int64_t conv_chunks(const ConvScalars& s, int64_t batch) {
  if (s.kind == static_cast<int64_t>(ConvKind::kFilterGradient))
    return ceil_div(batch, s.images_per_part);
  return batch * s.pieces;
}

absl::StatusOr<std::vector<std::byte>> pack_conv_filter(const ConvScalars& s,
                                                        absl::Span<const float> filter) {
  MODELLIB_RETURN_IF_ERROR(check_extents(s));
  if (static_cast<int64_t>(filter.size()) != filter_elements(s)) {
    return absl::InvalidArgumentError(absl::StrCat(kName, ": a filter of ", filter.size(),
                                                   " elements, expected ", filter_elements(s)));
  }
  MODELLIB_ASSIGN_OR_RETURN(const Piece packed, make_piece(s, 0, true, nullptr));
  ConvScalars whole = s;
  whole.pieces = 1;
  MODELLIB_ASSIGN_OR_RETURN(const Piece plain, make_piece(whole, 0, false, nullptr));
  const dnnl_memory_desc_t* to = packed.md(dnnl_query_weights_md);
  const dnnl_memory_desc_t* from = plain.md(dnnl_query_weights_md);
  std::vector<std::byte> out(dnnl_memory_desc_get_size(to));
  dnnl_primitive_desc_t desc = nullptr;
  dnnl_primitive_t reorder = nullptr;
  dnnl_memory_t source = nullptr, target = nullptr;
  dnnl_stream_t stream = nullptr;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&desc, from, engine(), to, engine(), nullptr);
  if (status == dnnl_success) status = dnnl_primitive_create(&reorder, desc);
  if (status == dnnl_success)
    status = dnnl_memory_create(&source, from, engine(), const_cast<float*>(filter.data()));
  if (status == dnnl_success) status = dnnl_memory_create(&target, to, engine(), out.data());
  if (status == dnnl_success)
    status = dnnl_stream_create(&stream, engine(), dnnl_stream_default_flags);
  if (status == dnnl_success) {
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
    status = dnnl_primitive_execute(reorder, stream, 2, args);
    if (status == dnnl_success) status = dnnl_stream_wait(stream);
  }
  if (stream != nullptr) dnnl_stream_destroy(stream);
  if (source != nullptr) dnnl_memory_destroy(source);
  if (target != nullptr) dnnl_memory_destroy(target);
  if (reorder != nullptr) dnnl_primitive_destroy(reorder);
  if (desc != nullptr) dnnl_primitive_desc_destroy(desc);
  MODELLIB_RETURN_IF_ERROR(check(status, "pack the filter"));
  return out;
}

absl::Status validate_conv(const runtime::StepView& step) {
  if (step.scalars.size() <= MODELLIB_SCALAR(ConvScalars, kind))
    return absl::InvalidArgumentError("cpu.conv2d: no scalars");
  const bool forward = step.scalars[MODELLIB_SCALAR(ConvScalars, kind)].min == 0;
  MODELLIB_RETURN_IF_ERROR(check_counts<ConvScalars>(kName, step, 1, forward ? 4 : 2));
  for (size_t i = 0; i < step.scalars.size(); ++i) {
    const auto range = step.scalars[i];
    if (range.min != range.max && i != MODELLIB_SCALAR(ConvScalars, batch))
      return range_error(kName, "a scalar (static)", range, range.min, range.min);
  }
  MODELLIB_CHECK_SCALAR(kName, step, ConvScalars, batch, 0, int64_t{1} << 24);
  const ConvScalars s = scalars_at_most(step);
  MODELLIB_RETURN_IF_ERROR(check_extents(s));
  if (!in_range(step.chunks, 0, int64_t{1} << 24))
    return range_error(kName, "chunks", step.chunks, 0, int64_t{1} << 24);
  const int64_t chunks = step.chunks.max;
  const int64_t images = s.kind == static_cast<int64_t>(ConvKind::kFilterGradient)
                             ? s.batch
                             : ceil_div(chunks, s.pieces);
  const auto fits = [&](std::initializer_list<int64_t> extents, uint64_t bytes) {
    return dense_fits(extents, 4, bytes);
  };
  const int64_t filter = filter_elements(s);
  const auto kind = static_cast<ConvKind>(s.kind);
  const uint64_t out = step.output_bytes[0], first = step.input_bytes[0],
                 second = step.input_bytes[1];
  bool ok = true;
  if (kind == ConvKind::kForward) {
    ok = fits({images, out_elements(s)}, out) && fits({images, in_elements(s)}, first) &&
         (s.filter_bytes != 0 ? second >= static_cast<uint64_t>(s.filter_bytes)
                              : fits({filter}, second)) &&
         (s.has_bias == 0 || fits({s.out_channels}, step.input_bytes[2])) &&
         (s.accumulates == 0 || step.aliases[0] == 3);
  } else if (kind == ConvKind::kInputGradient) {
    ok = fits({images, in_elements(s)}, out) && fits({images, out_elements(s)}, first) &&
         fits({filter}, second);
  } else {
    ok = fits({chunks, filter}, out) && fits({images, in_elements(s)}, first) &&
         fits({images, out_elements(s)}, second);
  }
  if (!ok)
    return absl::InvalidArgumentError(
        "cpu.conv2d: an operand is too small, or the residual is not in place");
  if (!dense_fits({chunks, s.scratch_bytes}, 1, step.workspace_bytes)) {
    return operand_error(kName, "the workspace", step.workspace_bytes);
  }
  if (s.accumulates == 0 && step.aliases[0] >= 0)
    return absl::InvalidArgumentError("cpu.conv2d: cannot run in place");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<runtime::KernelState>> initialise_conv(
    const runtime::StepView& step) {
  const ConvScalars s = scalars_at_most(step);
  MODELLIB_ASSIGN_OR_RETURN(auto state, make_state(s, s.filter_bytes != 0, batch_is_known(step)));
  if (scratch_of(s, *state) > s.scratch_bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(kName, ": this machine's convolution needs ", scratch_of(s, *state),
                     " bytes of scratch, the plan has ", s.scratch_bytes,
                     ": compile the plan for this machine"));
  }
  if (s.filter_bytes != 0) {
    for (const Piece& piece : state->pieces) {
      const dnnl_memory_desc_t& filter = *piece.md(dnnl_query_weights_md);
      if (static_cast<int64_t>(dnnl_memory_desc_get_size(&filter)) != s.filter_bytes ||
          layout_number(filter) != s.filter_layout) {
        return absl::FailedPreconditionError(
            absl::StrCat(kName,
                         ": this machine packs filters otherwise than the plan's: compile the plan "
                         "for this machine"));
      }
    }
  }
  return std::unique_ptr<runtime::KernelState>(std::move(state));
}

namespace {

struct Operand {
  int arg;
  dnnl_query_t what;
  float* address;
};

void execute(const Piece& piece, std::initializer_list<Operand> operands, std::byte* scratch,
             runtime::Fault& fault) {
  constexpr size_t kMost = 6;
  // Descriptions of the calls are objects of the library, made anew each time: the only thing here
  // that allocates.
  dnnl_exec_arg_t call[kMost];
  dnnl_stream_t stream = nullptr;
  dnnl_status_t status = dnnl_stream_create(&stream, engine(), dnnl_stream_default_flags);
  int made = 0;
  const auto add = [&](int arg, dnnl_query_t what, void* address) {
    if (status != dnnl_success) return;
    const int index = arg == DNNL_ARG_BIAS ? 1 : 0;
    const dnnl_memory_desc_t* md = dnnl_primitive_desc_query_md(piece.desc, what, index);
    call[made] = {arg, nullptr};
    status = dnnl_memory_create(&call[made].memory, md, engine(), address);
    if (status == dnnl_success) ++made;
  };
  for (const Operand& operand : operands) {
    if (operand.address != nullptr) add(operand.arg, operand.what, operand.address);
  }
  add(DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, scratch);
  if (status == dnnl_success) status = dnnl_primitive_execute(piece.primitive, stream, made, call);
  if (status == dnnl_success) status = dnnl_stream_wait(stream);
  // Out of memory inside the library: the result is not there, and the run must say so.
  if (status != dnnl_success) fault.report(runtime::Fault::kLibrary, status, 0);
  for (int i = 0; i < made; ++i) dnnl_memory_destroy(call[i].memory);
  if (stream != nullptr) dnnl_stream_destroy(stream);
}

// The gradient of the filter for the images of one part. The library does not add to what is there:
// the images of a part that is not full come one by one.
void filter_gradient(const ConvScalars& s, const ConvState& state, const runtime::KernelArgs& args,
                     int64_t chunk, std::byte* scratch) {
  const auto buffer = [&](int i) { return reinterpret_cast<float*>(args.buffers[i]); };
  const int64_t first = chunk * s.images_per_part;
  const int64_t images = std::min(s.images_per_part, s.batch - first);
  float* const sum = buffer(0) + chunk * filter_elements(s);
  const auto gradient = [&](const Piece& piece, int64_t image, float* result) {
    execute(piece,
            {{DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, result},
             {DNNL_ARG_SRC, dnnl_query_src_md, buffer(1) + image * in_elements(s)},
             {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, buffer(2) + image * out_elements(s)}},
            scratch, *args.fault);
  };
  if (images == s.images_per_part) return gradient(state.pieces[0], first, sum);
  auto* const own = reinterpret_cast<float*>(scratch + s.scratch_bytes - rest_bytes(s));
  for (int64_t i = 0; i < images; ++i) {
    gradient(state.one, first + i, i == 0 ? sum : own);
    for (int64_t e = 0; i > 0 && e < filter_elements(s); ++e) sum[e] += own[e];
  }
}

}  // namespace

void run_conv(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<ConvScalars>(args);
  const auto& state = *static_cast<const ConvState*>(args.state);
  const auto kind = static_cast<ConvKind>(s.kind);
  const OneOpenMpThread alone;
  const auto buffer = [&](int i) { return reinterpret_cast<float*>(args.buffers[i]); };
  const int workspace = kind == ConvKind::kForward ? 5 : 3;
  std::byte* const scratch =
      s.scratch_bytes == 0 ? nullptr : args.buffers[workspace] + chunk * s.scratch_bytes;
  if (kind == ConvKind::kFilterGradient) return filter_gradient(s, state, args, chunk, scratch);
  if (kind == ConvKind::kInputGradient) {
    return execute(
        state.pieces[0],
        {{DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, buffer(0) + chunk * in_elements(s)},
         {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, buffer(1) + chunk * out_elements(s)},
         {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, buffer(2)}},
        scratch, *args.fault);
  }
  const Piece& piece = state.pieces[static_cast<size_t>(chunk % s.pieces)];
  const int64_t image = chunk / s.pieces;
  execute(piece,
          {{DNNL_ARG_DST, dnnl_query_dst_md, buffer(0) + image * out_elements(s) + piece.y_offset},
           {DNNL_ARG_SRC, dnnl_query_src_md, buffer(1) + image * in_elements(s) + piece.x_offset},
           {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, buffer(2) + piece.w_offset},
           {DNNL_ARG_BIAS, dnnl_query_weights_md,
            s.has_bias == 0 ? nullptr : buffer(3) + piece.bias_offset}},
          scratch, *args.fault);
}

}  // namespace modellib::cpu
