// Convolution, with what may follow it, and its gradients.
//
// f32 forward: depthwise on "cpu.depthwise_f32", others channels-last on "cpu.conv_f32", or as
// products of tiles where that pays (kernels/winograd.h), and channels-first on oneDNN; where that
// does not know an extent ahead, images are copied to channels-last and back. Gradients: oneDNN,
// but those of an image through a constant filter, which is what a transposed convolution is, are
// convolutions themselves (transposed_conv_recipe.h). Everything else on the plain kernel.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/backend/conv_gemm_step.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/scalar_fields.h"
#include "modellib/executors/cpu/backend/transposed_conv_recipe.h"
#include "modellib/executors/cpu/backend/winograd_recipe.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/cpu/kernels/conv_gemm.h"
#include "modellib/executors/cpu/kernels/depthwise.h"
#include "modellib/executors/cpu/kernels/plain_conv.h"
#include "modellib/executors/cpu/kernels/winograd.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/conv_epilogue.h"
#include "modellib/passes/channels_last.h"

namespace modellib::cpu {
namespace {

constexpr size_t kSpatial = 3;  // axes that the kernels know; those that are not there come first

int64_t entry(const std::vector<int64_t>& list, size_t i, int64_t otherwise) {
  return list.empty() ? otherwise : list[i];
}

// A convolution by the parts that its operands and its result play in it.
struct Conv {
  ConvKind kind = ConvKind::kForward;
  const ConvAttributes& a;
  const TensorType &x, &filter, &y;
  std::string activation = "none";
  bool has_bias = false;
  ResidualAt residual = ResidualAt::kNone;

  static Conv of(const Graph& graph, const Graph::Node& node) {
    const auto in = [&](size_t i) -> const TensorType& { return graph.type(node.inputs[i]); };
    const TensorType& out = graph.type(node.output(0));
    const ConvAttributes& a = *conv_attributes(node);
    if (node.op->name == "conv_input_gradient")
      return {ConvKind::kInputGradient, a, out, in(1), in(0)};
    if (node.op->name == "conv_filter_gradient")
      return {ConvKind::kFilterGradient, a, in(0), out, in(1)};
    Conv c{ConvKind::kForward, a, in(0), in(1), out};
    if (node.op->name == "conv_epilogue") {
      const auto& epilogue = node.attributes.as<ConvEpilogueAttributes>();
      c.activation = epilogue.activation;
      c.has_bias = node.inputs.size() > 2 && node.inputs[2] != kNoValue;
      if (node.inputs.size() > 3 && node.inputs[3] != kNoValue)
        c.residual = residual_at(epilogue.activation, epilogue.residual_after);
    }
    return c;
  }

  size_t spatial() const { return x.shape.size() - 2; }
  bool channels_last() const { return a.layout == "NHWC"; }
  size_t first() const { return channels_last() ? 1 : 2; }  // spatial axis of x and y
  const Dim& in_channels() const { return channels_last() ? x.shape.back() : x.shape[1]; }
  const Dim& out_channels() const { return filter.shape[0]; }

  bool has_residual() const { return residual != ResidualAt::kNone; }
  bool is_f32() const { return x.dtype == DType::kF32; }
  // As the fast kernels do; the plain one sums in f64.
  bool sums_in_f32() const { return is_f32() && a.accumulate != DType::kF64; }
  bool has_static_filter() const { return is_static(filter.shape) && in_channels().is_static(); }
  // All extents but the batch.
  bool is_fixed() const {
    return has_static_filter() && is_static({x.shape.data() + 1, x.shape.size() - 1}) &&
           is_static({y.shape.data() + 1, y.shape.size() - 1});
  }
  // Whether what is known ahead keeps the limits that all kernels but the library's have.
  bool has_usual_extents() const {
    const auto from = [](int64_t least) {
      return [least](const Dim& d) {
        return !d.is_static() || (d.value() >= least && d.value() <= kMaxImageExtent);
      };
    };
    const auto all = [](const auto& extents, const auto& usual) {
      return std::all_of(extents.begin(), extents.end(), usual);
    };
    const auto image = [&](const Shape& shape) {  // a batch may be empty
      return from(0)(shape[0]) && std::all_of(shape.begin() + 1, shape.end(), from(1));
    };
    return image(x.shape) && image(y.shape) && all(filter.shape, from(1)) &&
           all(a.strides, from(1)) && all(a.dilations, from(1)) && all(a.padding_low, from(0));
  }
  // Channels-last gradients run on the library's reference code: images are copied instead.
  bool is_copied_for_library() const { return kind != ConvKind::kForward && channels_last(); }
  // Without what follows the convolution. All extents are fixed, and there are one or two axes.
  ConvScalars library_scalars() const {
    ConvScalars s;
    s.kind = static_cast<int64_t>(kind);
    s.layout = static_cast<int64_t>(channels_last() && !is_copied_for_library()
                                        ? ImageLayout::kChannelsLast
                                        : ImageLayout::kChannelsFirst);
    s.in_channels = in_channels().value();
    s.out_channels = out_channels().value();
    s.groups = a.groups;
    for (size_t i = 0; i < spatial(); ++i) {
      const size_t d = 2 - spatial() + i;
      s.in[d] = x.shape[first() + i].value();
      s.out[d] = y.shape[first() + i].value();
      s.kernel[d] = filter.shape[2 + i].value();
      s.stride[d] = entry(a.strides, i, 1);
      s.dilation[d] = entry(a.dilations, i, 1);
      s.pad_low[d] = entry(a.padding_low, i, 0);
      s.pad_high[d] = entry(a.padding_high, i, 0);
    }
    return s;
  }
  // The library adds a residual before the activation alone, and has limits of its own.
  bool for_library() const {
    return sums_in_f32() && spatial() <= 2 && is_fixed() &&
           residual != ResidualAt::kAfterActivation && conv_takes(library_scalars());
  }
  bool for_gemm() const { return sums_in_f32() && spatial() <= kSpatial && has_static_filter(); }
  // Groups of few channels fill a panel of the packed filter badly.
  bool is_narrow() const { return a.groups > 1 && out_channels().value() / a.groups < 8; }
  bool is_depthwise() const {
    return for_gemm() && spatial() <= 2 && a.groups > 1 && a.groups == in_channels().value() &&
           a.groups == out_channels().value();
  }
};

bool is_one(const std::vector<int64_t>& list) {
  return std::all_of(list.begin(), list.end(), [](int64_t v) { return v == 1; });
}

// The gradient of an image as a transposed convolution, of y.
TransposedConvProblem transposed_problem(const Conv& conv) {
  TransposedConvProblem problem;
  problem.batch = conv.x.shape[0];
  problem.in_channels = conv.out_channels().value();
  problem.out_channels = conv.in_channels().value();
  problem.groups = conv.a.groups;
  problem.channels_last = conv.channels_last();
  for (size_t i = 0; i < conv.spatial(); ++i) {
    problem.in.push_back(conv.y.shape[conv.first() + i]);
    problem.out.push_back(conv.x.shape[conv.first() + i]);
    problem.kernel.push_back(conv.filter.shape[2 + i].value());
    problem.stride.push_back(entry(conv.a.strides, i, 1));
    problem.dilation.push_back(entry(conv.a.dilations, i, 1));
    problem.pad_low.push_back(entry(conv.a.padding_low, i, 0));
  }
  return problem;
}

// Whether a gradient of an image is one by transposed_conv_recipe.
bool is_transposed(const Graph& graph, const Graph::Node& node, const Conv& conv) {
  if (conv.kind != ConvKind::kInputGradient || !conv.for_gemm() ||
      constant_value(graph, node.inputs[1]) == nullptr) {
    return false;
  }
  // Groups fill its panels badly, and dilations its filter: what the library can do of them, it
  // does.
  const bool is_full = conv.a.groups == 1 && is_one(conv.a.dilations);
  return (is_full || !conv.for_library()) && takes_transposed_conv(transposed_problem(conv));
}

// The limits of a depthwise kernel that stand for an activation; false: there are none.
bool limits_of(const std::string& activation, DepthwiseScalars& scalars) {
  if (activation == "relu" || activation == "relu6") scalars.low = scalar_bits(0).value();
  if (activation == "relu6") scalars.high = scalar_bits(6).value();
  return activation == "none" || activation == "relu" || activation == "relu6";
}

// Axes 1…, of which the first moves to the end: channels-last extents and strides.
std::vector<Dim> channels_moved_last(std::vector<Dim> dims) {
  std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
  return dims;
}

// Builds the steps of one convolution.
class ConvSteps {
 public:
  ConvSteps(const RecipeSite& site, const Conv& conv) : site_(site), conv_(conv) {}

  absl::StatusOr<NodeRecipe> library();
  absl::StatusOr<NodeRecipe> gemm();
  absl::StatusOr<NodeRecipe> depthwise();
  // Whether `winograd` can do it, and is the fastest way.
  bool wants_winograd() const;
  absl::StatusOr<NodeRecipe> winograd();
  absl::StatusOr<NodeRecipe> plain();

 private:
  // Calls set(axis of the kernel, spatial axis of the convolution) for each.
  template <class F>
  void for_each_axis(size_t axes, F set) const {
    const size_t skip = axes - conv_.spatial();
    for (size_t i = 0; i < conv_.spatial(); ++i) set(skip + i, i);
  }
  const Dim& x_extent(size_t i) const { return conv_.x.shape[conv_.first() + i]; }
  const Dim& y_extent(size_t i) const { return conv_.y.shape[conv_.first() + i]; }
  int64_t kernel(size_t i) const { return conv_.filter.shape[2 + i].value(); }
  bool constant_filter() const {
    return constant_value(site_.graph, site_.node.inputs[1]) != nullptr;
  }

  StepOperand temporary(const Dim& floats) {
    return add_temporary(recipe_, floats * static_cast<int64_t>(sizeof(float)));
  }
  absl::Status copy(const Walk& walk, StepOperand from, StepOperand to) {
    return add_copy(site_, recipe_, DType::kF32, walk, from, to);
  }
  // A channels-first image as a channels-last one, and back.
  absl::Status to_channels_last(const TensorType& type, StepOperand from, StepOperand to) {
    Walk walk;
    walk.extents = channels_moved_last(type.shape);
    walk.source = channels_moved_last(dense_strides(type.shape));
    walk.target = dense_strides(walk.extents);
    return copy(walk, from, to);
  }
  absl::Status to_channels_first(const TensorType& type, StepOperand from, StepOperand to) {
    Walk walk;
    walk.extents = type.shape;
    walk.target = dense_strides(type.shape);
    std::vector<Dim> strides = dense_strides(channels_moved_last(type.shape));
    std::rotate(strides.begin() + 1, strides.end() - 1, strides.end());
    walk.source = std::move(strides);
    return copy(walk, from, to);
  }

  static TensorType channels_first_type(TensorType type) {
    std::rotate(type.shape.begin() + 1, type.shape.end() - 1, type.shape.end());
    return type;
  }
  // A channels-first copy of a channels-last operand.
  absl::StatusOr<StepOperand> channels_first_copy(const TensorType& type, int operand) {
    const StepOperand copy = temporary(element_count(type.shape));
    MODELLIB_RETURN_IF_ERROR(
        to_channels_first(channels_first_type(type), input_operand(operand), copy));
    return copy;
  }
  // The images as a channels-last kernel wants them: the operands themselves, or copies.
  struct Images {
    StepOperand x, residual, y;
  };
  absl::StatusOr<Images> images() {
    Images images = {input_operand(0), conv_.has_residual() ? input_operand(3) : StepOperand{},
                     output_operand()};
    if (conv_.channels_last()) return images;
    images.x = temporary(element_count(conv_.x.shape));
    MODELLIB_RETURN_IF_ERROR(to_channels_last(conv_.x, input_operand(0), images.x));
    if (conv_.has_residual()) {
      images.residual = temporary(element_count(conv_.y.shape));
      MODELLIB_RETURN_IF_ERROR(to_channels_last(conv_.y, input_operand(3), images.residual));
    }
    images.y = temporary(element_count(conv_.y.shape));
    return images;
  }
  absl::StatusOr<NodeRecipe> finish(const Images& images) {
    if (!conv_.channels_last())
      MODELLIB_RETURN_IF_ERROR(to_channels_first(conv_.y, images.y, output_operand()));
    return std::move(recipe_);
  }

  absl::StatusOr<StepOperand> gemm_filter(const ConvGemmScalars& scalars);

  const RecipeSite& site_;
  const Conv& conv_;
  NodeRecipe recipe_;
};

// The filter as "cpu.conv_f32" wants it: packed ahead if it is constant, else by steps.
absl::StatusOr<StepOperand> ConvSteps::gemm_filter(const ConvGemmScalars& scalars) {
  const int64_t depth = conv_gemm_depth(scalars), width = conv_gemm_width(scalars);
  const int64_t channels = scalars.in_channels / scalars.groups, taps = depth / channels;
  if (constant_filter()) {
    return add_constant(recipe_, 1,
                        absl::StrCat("conv panels ", kPanel, " k-block ", k_block(depth),
                                     " groups ", scalars.groups),
                        [scalars](absl::Span<const float> filter) {
                          return pack_conv_gemm_filter(scalars, filter);
                        });
  }
  StepOperand matrix = input_operand(1);
  if (taps > 1 && channels > 1) {
    Walk walk;
    walk.extents = {scalars.out_channels, taps, channels};
    walk.source = {depth, 1, taps};
    walk.target = {depth, channels, 1};
    matrix = temporary(scalars.out_channels * depth);
    MODELLIB_RETURN_IF_ERROR(copy(walk, input_operand(1), matrix));
  }
  PackBScalars pack;
  pack.n = width;
  pack.k = depth;
  pack.ldb = depth;
  pack.transposed = 1;
  pack.batch1 = scalars.groups;
  pack.b_batch1 = width * depth;
  pack.packed_batch1 = packed_b_floats(depth, width);
  pack.n_grain = padded_columns(std::clamp<int64_t>(262144 / depth, kPanel, padded_columns(width)));
  StepRecipe step;
  step.kernel = "cpu.pack_b_f32";
  step.inputs = {matrix};
  step.outputs = {temporary(conv_gemm_filter_floats(scalars))};
  step.scalars = ScalarFields<PackBScalars>(pack).take();
  step.chunks = pack_b_chunks(pack);
  const StepOperand packed = step.outputs[0];
  recipe_.steps.push_back(std::move(step));
  return packed;
}

absl::StatusOr<NodeRecipe> ConvSteps::gemm() {
  ConvGemmScalars scalars;
  scalars.in_channels = conv_.in_channels().value();
  scalars.out_channels = conv_.out_channels().value();
  scalars.groups = conv_.a.groups;
  scalars.has_bias = conv_.has_bias;
  scalars.residual = static_cast<int64_t>(conv_.residual);
  scalars.activation = static_cast<int64_t>(*activation_of(conv_.activation));
  std::vector<Dim> in, out;
  for_each_axis(kSpatial, [&](size_t d, size_t i) {
    scalars.kernel[d] = kernel(i);
    scalars.stride[d] = entry(conv_.a.strides, i, 1);
    scalars.dilation[d] = entry(conv_.a.dilations, i, 1);
    scalars.pad_low[d] = entry(conv_.a.padding_low, i, 0);
    in.push_back(x_extent(i));
    out.push_back(y_extent(i));
  });
  MODELLIB_ASSIGN_OR_RETURN(const Images images, this->images());
  MODELLIB_ASSIGN_OR_RETURN(const StepOperand filter, gemm_filter(scalars));
  StepRecipe step = conv_gemm_step(site_, scalars, conv_.x.shape[0], in, out);
  step.outputs = {images.y};
  step.inputs = {images.x, filter, conv_.has_bias ? input_operand(2) : StepOperand{},
                 images.residual};
  if (conv_.residual == ResidualAt::kBeforeActivation) step.in_place = {{0, 3}};
  recipe_.steps.push_back(std::move(step));
  return finish(images);
}

absl::StatusOr<NodeRecipe> ConvSteps::depthwise() {
  using S = DepthwiseScalars;
  S scalars;
  limits_of(conv_.activation, scalars);
  scalars.batch = site_.max(conv_.x.shape[0]);
  scalars.channels = conv_.in_channels().value();
  const size_t axes = 2;
  for_each_axis(axes, [&](size_t d, size_t i) {
    scalars.in[d] = site_.max(x_extent(i));
    scalars.out[d] = site_.max(y_extent(i));
    scalars.kernel[d] = kernel(i);
    scalars.stride[d] = entry(conv_.a.strides, i, 1);
    scalars.dilation[d] = entry(conv_.a.dilations, i, 1);
    scalars.pad_low[d] = entry(conv_.a.padding_low, i, 0);
  });
  choose_depthwise_grain(scalars);
  const int64_t channels = scalars.channels, taps = scalars.kernel[0] * scalars.kernel[1];
  StepOperand filter;
  if (constant_filter()) {
    filter = add_constant(
        recipe_, 1, "depthwise, channels last", [channels, taps](absl::Span<const float> f) {
          std::vector<float> moved(f.size());
          for (int64_t c = 0; c < channels; ++c) {
            for (int64_t t = 0; t < taps; ++t)
              moved[static_cast<size_t>(t * channels + c)] = f[static_cast<size_t>(c * taps + t)];
          }
          return moved;
        });
  } else {
    Walk walk;
    walk.extents = {taps, channels};
    walk.source = {1, taps};
    walk.target = {channels, 1};
    filter = temporary(taps * channels);
    MODELLIB_RETURN_IF_ERROR(copy(walk, input_operand(1), filter));
  }
  ScalarFields<S> fields(scalars);
  fields.set(&S::batch, conv_.x.shape[0]);
  for_each_axis(axes, [&](size_t d, size_t i) {
    fields.set(&S::in, d, x_extent(i));
    fields.set(&S::out, d, y_extent(i));
  });
  const Dim rows = conv_.x.shape[0] * (conv_.spatial() == 2 ? y_extent(0) : Dim(1));
  MODELLIB_ASSIGN_OR_RETURN(const Images images, this->images());
  StepRecipe step;
  step.kernel = "cpu.depthwise_f32";
  step.outputs = {images.y};
  step.inputs = {images.x, filter, conv_.has_bias ? input_operand(2) : StepOperand{}};
  step.scalars = fields.take();
  step.chunks = ceil_div(rows, Dim(scalars.rows_per_chunk));
  recipe_.steps.push_back(std::move(step));
  return finish(images);
}

bool ConvSteps::wants_winograd() const {
  DepthwiseScalars limits;
  if (!conv_.for_gemm() || !conv_.is_fixed() || !conv_.channels_last() || conv_.spatial() != 2 ||
      conv_.a.groups != 1 || !constant_filter() || !limits_of(conv_.activation, limits)) {
    return false;
  }
  for (size_t i = 0; i < 2; ++i) {
    if (kernel(i) != 3 || entry(conv_.a.strides, i, 1) != 1 || entry(conv_.a.dilations, i, 1) != 1)
      return false;
  }
  return winograd_pays({y_extent(0).value(), y_extent(1).value()}, conv_.in_channels().value(),
                       conv_.out_channels().value());
}

absl::StatusOr<NodeRecipe> ConvSteps::winograd() {
  WinogradProblem problem;
  problem.batch = conv_.x.shape[0];
  problem.in_channels = conv_.in_channels().value();
  problem.out_channels = conv_.out_channels().value();
  for (size_t i = 0; i < 2; ++i) {
    problem.in[i] = x_extent(i).value();
    problem.out[i] = y_extent(i).value();
    problem.pad_low[i] = entry(conv_.a.padding_low, i, 0);
  }
  DepthwiseScalars limits;
  limits_of(conv_.activation, limits);
  problem.low = limits.low;
  problem.high = limits.high;
  problem.has_bias = conv_.has_bias;
  problem.residual = conv_.residual;
  return winograd_recipe(site_, problem);
}

absl::StatusOr<NodeRecipe> ConvSteps::library() {
  const ConvKind kind = conv_.kind;
  const bool copies = conv_.is_copied_for_library();
  ConvScalars scalars = conv_.library_scalars();
  scalars.has_bias = conv_.has_bias;
  scalars.accumulates = conv_.has_residual();
  scalars.activation = static_cast<int64_t>(*activation_of(conv_.activation));
  const Dim batch = conv_.x.shape[0];
  const bool pack = kind == ConvKind::kForward && constant_filter();
  MODELLIB_RETURN_IF_ERROR(plan_conv(site_.max(batch), pack, scalars,
                                     batch.is_static() ? ConvBatch::kKnown : ConvBatch::kFree));

  StepRecipe step;
  step.kernel = "cpu.conv2d";
  step.outputs = {output_operand()};
  step.inputs = {input_operand(0), input_operand(1)};
  if (copies) {
    const bool is_filter = kind == ConvKind::kFilterGradient;
    MODELLIB_ASSIGN_OR_RETURN(step.inputs[0],
                              channels_first_copy(is_filter ? conv_.x : conv_.y, 0));
    if (is_filter) {
      MODELLIB_ASSIGN_OR_RETURN(step.inputs[1], channels_first_copy(conv_.y, 1));
    } else {
      step.outputs = {temporary(element_count(conv_.x.shape))};
    }
  }
  ScalarFields<ConvScalars> fields(scalars);
  if (kind == ConvKind::kFilterGradient) fields.set(&ConvScalars::batch, batch);
  step.scalars = fields.take();
  step.chunks = batch * scalars.pieces;
  if (kind == ConvKind::kForward) {
    step.inputs.resize(4);
    if (conv_.has_bias) step.inputs[2] = input_operand(2);
    if (conv_.has_residual()) {
      // The library adds onto what lies in the result.
      step.inputs[3] = output_operand();
      StepRecipe copy = copy_bytes(element_count(conv_.y.shape) * sizeof(float));
      copy.inputs = {input_operand(3)};
      copy.outputs = {output_operand()};
      recipe_.steps.push_back(std::move(copy));
    }
    if (scalars.filter_bytes != 0) {
      recipe_.constants.push_back(
          {1,
           absl::StrCat("conv filter layout ", scalars.filter_layout, " groups ", scalars.groups),
           [scalars](const Tensor& source) -> absl::StatusOr<Tensor> {
             MODELLIB_ASSIGN_OR_RETURN(const std::vector<std::byte> packed,
                                       pack_conv_filter(scalars, source.as<float>()));
             return Tensor::copy_of(DType::kU8, {static_cast<int64_t>(packed.size())},
                                    packed.data(), packed.size());
           }});
      step.inputs[1] = {StepOperand::Kind::kConstant, 0};
    }
  }
  if (kind != ConvKind::kFilterGradient) {
    const StepOperand result = step.outputs[0];
    step.workspace_bytes = step.chunks * scalars.scratch_bytes;
    recipe_.steps.push_back(std::move(step));
    if (copies) {
      MODELLIB_RETURN_IF_ERROR(
          to_channels_last(channels_first_type(conv_.x), result, output_operand()));
    }
    return std::move(recipe_);
  }
  // Each part sums over some images; the parts are summed by a reduction.
  const Dim parts = ceil_div(batch, Dim(scalars.images_per_part));
  const Dim filter = element_count(conv_.filter.shape);
  step.chunks = parts;
  step.workspace_bytes = parts * scalars.scratch_bytes;
  if (parts == Dim(1)) {
    recipe_.steps.push_back(std::move(step));
    return std::move(recipe_);
  }
  const StepOperand partial = temporary(parts * filter);
  step.outputs = {partial};
  recipe_.steps.push_back(std::move(step));
  add_reduction(site_, recipe_, {1, parts, filter}, partial, output_operand());
  return std::move(recipe_);
}

absl::StatusOr<NodeRecipe> ConvSteps::plain() {
  using S = PlainConvScalars;
  const bool is_float = conv_.x.dtype == DType::kF64 || conv_.is_f32() ||
                        conv_.x.dtype == DType::kF16 || conv_.x.dtype == DType::kBF16;
  if (!is_float || conv_.spatial() > kSpatial || !conv_.has_static_filter() ||
      conv_.activation != "none" || conv_.has_bias || conv_.has_residual()) {
    return no_kernel(site_,
                     "convolution is for floats over at most three axes, with channels that "
                     "are known ahead");
  }
  S scalars;
  scalars.kind = static_cast<int64_t>(conv_.kind);
  scalars.dtype = static_cast<int64_t>(conv_.x.dtype);
  scalars.channels_last = conv_.channels_last();
  scalars.in_channels = conv_.in_channels().value();
  scalars.out_channels = conv_.out_channels().value();
  scalars.groups = conv_.a.groups;
  for_each_axis(kSpatial, [&](size_t d, size_t i) {
    scalars.kernel[d] = kernel(i);
    scalars.stride[d] = entry(conv_.a.strides, i, 1);
    scalars.dilation[d] = entry(conv_.a.dilations, i, 1);
    scalars.pad_low[d] = entry(conv_.a.padding_low, i, 0);
  });
  const Dim batch = conv_.x.shape[0];
  ScalarFields<S> fields(scalars);
  fields.set(&S::batch, batch);
  for_each_axis(kSpatial, [&](size_t d, size_t i) {
    fields.set(&S::in, d, x_extent(i));
    fields.set(&S::out, d, y_extent(i));
  });
  StepRecipe step;
  step.kernel = "cpu.plain_conv";
  step.outputs = {output_operand()};
  step.inputs = {input_operand(0), input_operand(1)};
  step.scalars = fields.take();
  step.chunks = conv_.kind == ConvKind::kForward ? batch * scalars.out_channels
                : conv_.kind == ConvKind::kInputGradient
                    ? batch * scalars.in_channels
                    : Dim(scalars.out_channels * (scalars.in_channels / scalars.groups));
  recipe_.steps.push_back(std::move(step));
  return std::move(recipe_);
}

}  // namespace

bool takes_conv_epilogue(const Graph& graph, const Graph::Node& node, const Epilogue& epilogue) {
  const Conv conv = Conv::of(graph, node);
  if (!conv.for_gemm() || !activation_of(epilogue.activation).has_value()) return false;
  const bool after =
      epilogue.residual &&
      residual_at(epilogue.activation, epilogue.residual_after) == ResidualAt::kAfterActivation;
  if (after && conv.is_narrow()) return false;
  // So that it can become channels-last later.
  DepthwiseScalars limits;
  return !conv.is_depthwise() || (!epilogue.residual && limits_of(epilogue.activation, limits));
}

absl::StatusOr<NodeRecipe> conv_recipe(const RecipeSite& site) {
  const Conv conv = Conv::of(site.graph, site.node);
  ConvSteps steps(site, conv);
  if (!conv.has_usual_extents())
    return no_kernel(site, "convolution is of extents between 1 and 2^24");
  if (is_transposed(site.graph, site.node, conv))
    return transposed_conv_recipe(site, transposed_problem(conv));
  if (conv.kind != ConvKind::kForward) return conv.for_library() ? steps.library() : steps.plain();
  if (conv.is_depthwise()) return steps.depthwise();
  if (conv.for_library() && (!conv.channels_last() || conv.is_narrow())) return steps.library();
  if (steps.wants_winograd()) return steps.winograd();
  return conv.for_gemm() ? steps.gemm() : steps.plain();
}

int64_t conv_channels_last_gain(const Graph& graph, const Graph::Node& node) {
  const Conv conv = Conv::of(graph, node);
  const ValueId result = node.output(0), first = node.inputs[0], second = node.inputs[1];
  if (is_transposed(graph, node, conv)) return image_bytes(graph, first);
  switch (conv.kind) {  // the library's gradients want channels-first images
    case ConvKind::kInputGradient:
      return conv.for_library() ? -image_bytes(graph, result) - image_bytes(graph, first) : 0;
    case ConvKind::kFilterGradient:
      return conv.for_library() ? -image_bytes(graph, first) - image_bytes(graph, second) : 0;
    case ConvKind::kForward:
      break;
  }
  if (!conv.for_gemm() || conv.is_narrow()) return 0;
  // Kernels that know only one layout copy both images.
  if (conv.is_depthwise() || !conv.for_library())
    return image_bytes(graph, first) + image_bytes(graph, result);
  // From bench/conv_bench: what our kernel saves against oneDNN's, for each product.
  const int64_t products = element_count(conv.filter.shape).value() / conv.out_channels().value();
  const bool is_matmul =
      products == conv.in_channels().value() / conv.a.groups && is_one(conv.a.strides);
  return image_bytes(graph, result) / (is_matmul ? 256 : 64) * products;
}

}  // namespace modellib::cpu
