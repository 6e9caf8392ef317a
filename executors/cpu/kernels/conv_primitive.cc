#include "modellib/executors/cpu/kernels/conv_primitive.h"

#include <algorithm>

#include <omp.h>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

absl::Status check(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cpu.conv2d: oneDNN cannot ", what, " (status ", static_cast<int>(status), ")"));
}

dnnl_engine_t engine() {
  // Made once for the process; a CPU engine holds nothing but its kind.
  static dnnl_engine_t made = [] {
    dnnl_engine_t e = nullptr;
    return dnnl_engine_create(&e, dnnl_cpu, 0) == dnnl_success ? e : nullptr;
  }();
  return made;
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

}  // namespace

ConvPrimitive& ConvPrimitive::operator=(ConvPrimitive&& other) noexcept {
  std::swap(desc_, other.desc_);
  std::swap(primitive_, other.primitive_);
  offsets_ = other.offsets_;
  return *this;
}

ConvPrimitive::~ConvPrimitive() {
  if (primitive_ != nullptr) dnnl_primitive_destroy(primitive_);
  if (desc_ != nullptr) dnnl_primitive_desc_destroy(desc_);
}

absl::StatusOr<ConvPrimitive> ConvPrimitive::make(const ConvScalars& s, int64_t i, bool pack,
                                                  const dnnl_memory_desc_t* filter) {
  if (engine() == nullptr) return absl::InternalError("cpu.conv2d: oneDNN has no CPU engine");
  const OneOpenMpThread alone;
  ConvPrimitive made;
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
    made.offsets_.x = in_rows[0] * s.in[1] * s.in_channels;
    made.offsets_.y = rows[0] * s.out[1] * s.out_channels;
  } else if (s.pieces > 1) {
    out_channels = s.out_channels / s.pieces;
    made.offsets_.w = i * out_channels * s.in_channels * s.kernel[0] * s.kernel[1];
    made.offsets_.bias = i * out_channels;
    made.offsets_.y = i * out_channels * s.out[0] * s.out[1];
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
    status = dnnl_primitive_desc_create(&made.desc_, &desc, attr, engine(), hint);
  if (status == dnnl_success) status = dnnl_primitive_create(&made.primitive_, made.desc_);
  if (hint != nullptr) dnnl_primitive_desc_destroy(hint);
  if (post != nullptr) dnnl_post_ops_destroy(post);
  dnnl_primitive_attr_destroy(attr);
  MODELLIB_RETURN_IF_ERROR(check(status, "make the primitive"));
  return made;
}

int64_t ConvPrimitive::scratch_bytes() const {
  return static_cast<int64_t>(dnnl_memory_desc_get_size(md(dnnl_query_scratchpad_md)));
}

void ConvPrimitive::run(std::initializer_list<Operand> operands, std::byte* scratch,
                        runtime::Fault& fault) const {
  const OneOpenMpThread alone;
  constexpr size_t kMost = 6;
  // Descriptions of the calls are objects of the library, made anew each time: the only thing here
  // that allocates.
  dnnl_exec_arg_t call[kMost];
  dnnl_stream_t stream = nullptr;
  dnnl_status_t status = dnnl_stream_create(&stream, engine(), dnnl_stream_default_flags);
  int made = 0;
  const auto add = [&](int arg, dnnl_query_t what, void* address) {
    if (status != dnnl_success) return;
    call[made] = {arg, nullptr};
    status = dnnl_memory_create(&call[made].memory, md(what, arg == DNNL_ARG_BIAS ? 1 : 0),
                                engine(), address);
    if (status == dnnl_success) ++made;
  };
  for (const Operand& operand : operands) {
    if (operand.address != nullptr) add(operand.arg, operand.what, operand.address);
  }
  add(DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, scratch);
  if (status == dnnl_success) status = dnnl_primitive_execute(primitive_, stream, made, call);
  if (status == dnnl_success) status = dnnl_stream_wait(stream);
  // Out of memory inside the library: the result is not there, and the run must say so.
  if (status != dnnl_success) fault.report(runtime::Fault::kLibrary, status, 0);
  for (int i = 0; i < made; ++i) dnnl_memory_destroy(call[i].memory);
  if (stream != nullptr) dnnl_stream_destroy(stream);
}

int64_t layout_number(const dnnl_memory_desc_t& filter) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&](int64_t v) { hash = (hash ^ static_cast<uint64_t>(v)) * 0x100000001b3; };
  mix(filter.ndims);
  mix(filter.format_kind);
  const dnnl_blocking_desc_t& b = filter.format_desc.blocking;
  for (int d = 0; d < filter.ndims; ++d) {
    mix(filter.padded_dims[d]);
    mix(b.strides[d]);
  }
  for (int i = 0; i < b.inner_nblks; ++i) {
    mix(b.inner_blks[i]);
    mix(b.inner_idxs[i]);
  }
  mix(static_cast<int64_t>(filter.extra.flags));
  return static_cast<int64_t>(hash & 0x7fffffffffffffff);
}

absl::StatusOr<std::vector<std::byte>> packed_filter(const dnnl_memory_desc_t& from,
                                                     const dnnl_memory_desc_t& to,
                                                     absl::Span<const float> filter) {
  std::vector<std::byte> out(dnnl_memory_desc_get_size(&to));
  dnnl_primitive_desc_t desc = nullptr;
  dnnl_primitive_t reorder = nullptr;
  dnnl_memory_t source = nullptr, target = nullptr;
  dnnl_stream_t stream = nullptr;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&desc, &from, engine(), &to, engine(), nullptr);
  if (status == dnnl_success) status = dnnl_primitive_create(&reorder, desc);
  if (status == dnnl_success)
    status = dnnl_memory_create(&source, &from, engine(), const_cast<float*>(filter.data()));
  if (status == dnnl_success) status = dnnl_memory_create(&target, &to, engine(), out.data());
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

}  // namespace modellib::cpu
