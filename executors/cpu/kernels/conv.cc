#include "modellib/executors/cpu/kernels/conv.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/conv_primitive.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

constexpr char kName[] = "cpu.conv2d";
constexpr int64_t kMaxExtent = int64_t{1} << 20;
constexpr int64_t kMaxPieces = 16;
// Of the partial gradients of a filter, where the batch is free.
constexpr int64_t kPartBytes = int64_t{1} << 26;

class ConvState : public runtime::KernelState {
 public:
  std::vector<ConvPrimitive> pieces;  // of an image
  ConvPrimitive one;                  // filter gradient: for the images of a part that is not full
};

int64_t filter_elements(const ConvScalars& s) {
  return s.out_channels * (s.in_channels / s.groups) * s.kernel[0] * s.kernel[1];
}
int64_t in_elements(const ConvScalars& s) { return s.in_channels * s.in[0] * s.in[1]; }
int64_t out_elements(const ConvScalars& s) { return s.out_channels * s.out[0] * s.out[1]; }

// Whether every window sees an element. oneDNN 2.6.3 crashes where none is seen, the filter is
// packed and a relu is its to do; it does none here, but nobody has proved that this is all it
// takes.
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

// Whether the last part of a filter gradient may have fewer images than the others.
bool has_rest(const ConvScalars& s, bool batch_is_known) {
  return s.kind == static_cast<int64_t>(ConvKind::kFilterGradient) && s.images_per_part > 1 &&
         (!batch_is_known || s.batch % s.images_per_part != 0);
}

absl::StatusOr<std::unique_ptr<ConvState>> make_state(const ConvScalars& s, bool pack,
                                                      bool batch_is_known) {
  auto state = std::make_unique<ConvState>();
  for (int64_t i = 0; i < s.pieces; ++i) {
    const dnnl_memory_desc_t* filter = pack && i > 0 ? &state->pieces[0].filter() : nullptr;
    MODELLIB_ASSIGN_OR_RETURN(ConvPrimitive piece, ConvPrimitive::make(s, i, pack, filter));
    state->pieces.push_back(std::move(piece));
  }
  if (has_rest(s, batch_is_known)) {
    ConvScalars one = s;
    one.images_per_part = 1;
    MODELLIB_ASSIGN_OR_RETURN(state->one, ConvPrimitive::make(one, 0, false));
  }
  return state;
}

// The gradient of one image, which is then added to its part's.
int64_t rest_bytes(const ConvScalars& s) { return ceil_div(filter_elements(s) * 4, 64) * 64; }

int64_t scratch_of(const ConvScalars& s, const ConvState& state) {
  int64_t bytes = 0;
  for (const ConvPrimitive& piece : state.pieces) bytes = std::max(bytes, piece.scratch_bytes());
  if (state.one.is_null()) return ceil_div(bytes, 64) * 64;
  return ceil_div(std::max(bytes, state.one.scratch_bytes()), 64) * 64 + rest_bytes(s);
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

// The gradient of the filter for the images of one part. The library does not add to what is there:
// the images of a part that is not full come one by one.
void filter_gradient(const ConvScalars& s, const ConvState& state, const runtime::KernelArgs& args,
                     int64_t chunk, std::byte* scratch) {
  const auto buffer = [&](int i) { return reinterpret_cast<float*>(args.buffers[i]); };
  const int64_t first = chunk * s.images_per_part;
  const int64_t images = std::min(s.images_per_part, s.batch - first);
  float* const sum = buffer(0) + chunk * filter_elements(s);
  const auto gradient = [&](const ConvPrimitive& primitive, int64_t image, float* result) {
    primitive.run(
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

bool conv_takes(const ConvScalars& s) { return check_extents(s).ok(); }

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
    const int64_t depth = s.in_channels / s.groups * s.kernel[0] * s.kernel[1];
    const int64_t work = checked_product(out_elements(s), depth);
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
    const dnnl_memory_desc_t& filter = (*state)->pieces[0].filter();
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
  MODELLIB_ASSIGN_OR_RETURN(const ConvPrimitive packed, ConvPrimitive::make(s, 0, true));
  ConvScalars whole = s;
  whole.pieces = 1;
  MODELLIB_ASSIGN_OR_RETURN(const ConvPrimitive plain, ConvPrimitive::make(whole, 0, false));
  return packed_filter(plain.filter(), packed.filter(), filter);
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
    for (const ConvPrimitive& piece : state->pieces) {
      const dnnl_memory_desc_t& filter = piece.filter();
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

void run_conv(const runtime::KernelArgs& args, int64_t chunk) {
  const auto& s = scalars_of<ConvScalars>(args);
  const auto& state = *static_cast<const ConvState*>(args.state);
  const auto kind = static_cast<ConvKind>(s.kind);
  const auto buffer = [&](int i) { return reinterpret_cast<float*>(args.buffers[i]); };
  const int workspace = kind == ConvKind::kForward ? 5 : 3;
  std::byte* const scratch =
      s.scratch_bytes == 0 ? nullptr : args.buffers[workspace] + chunk * s.scratch_bytes;
  if (kind == ConvKind::kFilterGradient) return filter_gradient(s, state, args, chunk, scratch);
  if (kind == ConvKind::kInputGradient) {
    return state.pieces[0].run(
        {{DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, buffer(0) + chunk * in_elements(s)},
         {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, buffer(1) + chunk * out_elements(s)},
         {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, buffer(2)}},
        scratch, *args.fault);
  }
  const auto i = static_cast<size_t>(chunk % s.pieces);
  const ConvPrimitive& piece = state.pieces[i];
  const int64_t image = chunk / s.pieces;
  const ConvPrimitive::Offsets& at = piece.offsets();
  float* const y = buffer(0) + image * out_elements(s) + at.y;
  piece.run(
      {{DNNL_ARG_DST, dnnl_query_dst_md, y},
       {DNNL_ARG_SRC, dnnl_query_src_md, buffer(1) + image * in_elements(s) + at.x},
       {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, buffer(2) + at.w},
       {DNNL_ARG_BIAS, dnnl_query_weights_md, s.has_bias == 0 ? nullptr : buffer(3) + at.bias}},
      scratch, *args.fault);
  // A piece of y lies together, up to where the next begins.
  const int64_t end =
      i + 1 < state.pieces.size() ? state.pieces[i + 1].offsets().y : out_elements(s);
  apply_activation(static_cast<Activation>(s.activation), y, end - at.y);
}

}  // namespace modellib::cpu
