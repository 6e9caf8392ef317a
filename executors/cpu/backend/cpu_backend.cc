#include "modellib/executors/cpu/backend/cpu_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/cpu/backend/recipes.h"
#include "modellib/executors/cpu/backend/region_compiler.h"
#include "modellib/executors/cpu/kernels/copy_bytes.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/conv_epilogue.h"
#include "modellib/ops/fused.h"
#include "modellib/ops/index.h"
#include "modellib/ops/matmul.h"
#include "modellib/ops/matmul_epilogue.h"
#include "modellib/ops/pool.h"
#include "modellib/ops/random.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/shape.h"
#include "modellib/passes/channels_last.h"

namespace modellib::cpu {
namespace {

absl::StatusOr<NodeRecipe> dim_value_recipe(const RecipeSite& site) {
  const Shape& dims = site.node.attributes.as<DimValueAttributes>().dims;
  StepRecipe step;
  step.kernel = "cpu.dim_values";
  step.outputs = all_outputs(site);
  step.scalars = {static_cast<int64_t>(dims.size())};
  step.scalars.insert(step.scalars.end(), dims.begin(), dims.end());
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

absl::StatusOr<NodeRecipe> fold_in_recipe(const RecipeSite& site) {
  StepRecipe step;
  step.kernel = "cpu.fold_in";
  step.outputs = all_outputs(site);
  step.inputs = all_inputs(site);
  step.scalars = {static_cast<int64_t>(kFoldInStream)};
  NodeRecipe recipe;
  recipe.steps.push_back(std::move(step));
  return recipe;
}

struct Entry {
  const char* op;
  RecipeFunction recipe;
  // Of a composite: whether the kernel can do this node. None: always.
  bool (*takes)(const Graph&, const Graph::Node&) = nullptr;
};

// Whether the node's own epilogue is one that its kernel takes.
bool takes_own_epilogue(const Graph& graph, const Graph::Node& node) {
  const auto has = [&](size_t i) { return i < node.inputs.size() && node.inputs[i] != kNoValue; };
  Epilogue epilogue{has(2), has(3), "none"};
  if (node.attributes.is<ConvEpilogueAttributes>()) {
    const auto& a = node.attributes.as<ConvEpilogueAttributes>();
    epilogue.activation = a.activation;
    epilogue.residual_after = a.residual_after;
  } else {
    const auto& a = node.attributes.as<MatmulEpilogueAttributes>();
    epilogue.activation = a.activation;
    epilogue.residual_after = a.residual_after;
  }
  return cpu_backend().takes_epilogue(graph, node, epilogue);
}

constexpr Entry kRecipes[] = {
    {"all_gather", sharded_recipe},
    {"all_reduce", all_reduce_recipe},
    {"argmax", arg_reduce_recipe},
    {"argmin", arg_reduce_recipe},
    {"attention", attention_recipe, takes_attention},
    {"attention_grad", attention_recipe, takes_attention},
    {"avg_pool", pool_recipe},
    {"avg_pool_gradient", pool_recipe},
    {"broadcast", broadcast_from_recipe},
    {"concat", concat_recipe},
    {"conv", conv_recipe},
    {"conv_epilogue", conv_recipe, takes_own_epilogue},
    {"conv_filter_gradient", conv_recipe},
    {"conv_input_gradient", conv_recipe},
    {"cumsum", cumsum_recipe},
    {"dim_value", dim_value_recipe},
    {"fold_in", fold_in_recipe},
    {"gather", gather_recipe},
    {"gather_elements", gather_elements_recipe},
    {"matmul", matmul_recipe},
    {"matmul_epilogue", matmul_recipe, takes_own_epilogue},
    {"max_pool", pool_recipe},
    {"max_pool_gradient", pool_recipe},
    {"max_pool_select", pool_recipe},
    {"pad", pad_recipe},
    {"reduce_scatter", sharded_recipe},
    {"repeat_interleave", repeat_recipe, takes_repeat},
    {"scatter_add", scatter_add_recipe},
    {"scatter_elements", scatter_elements_recipe},
    {"slice", slice_recipe},
    {"sort", sort_recipe},
    {"top_k", sort_recipe},
    {"transpose", transpose_recipe},
    {"update_slice", update_slice_recipe},
};

const Entry* entry_of(absl::string_view op) {
  for (const Entry& e : kRecipes) {
    if (op == e.op) return &e;
  }
  return nullptr;
}

absl::StatusOr<NodeRecipe> one_step(absl::StatusOr<StepRecipe> step) {
  if (!step.ok()) return step.status();
  NodeRecipe recipe;
  recipe.steps.push_back(*std::move(step));
  return recipe;
}

}  // namespace

absl::Status no_kernel(const RecipeSite& site, absl::string_view why) {
  std::vector<std::string> types;
  for (ValueId in : site.node.inputs) {
    types.push_back(in == kNoValue ? "absent" : to_string(site.graph.type(in)));
  }
  return absl::UnimplementedError(
      absl::StrCat(site.node.op->name, "(", absl::StrJoin(types, ", "), "): ", why));
}

std::vector<StepOperand> all_outputs(const RecipeSite& site) {
  std::vector<StepOperand> operands;
  for (int i = 0; i < site.node.num_outputs; ++i) {
    operands.push_back({StepOperand::Kind::kOutput, i});
  }
  return operands;
}

std::vector<StepOperand> all_inputs(const RecipeSite& site) {
  std::vector<StepOperand> operands;
  for (size_t i = 0; i < site.node.inputs.size(); ++i) {
    operands.push_back({StepOperand::Kind::kInput, static_cast<int>(i)});
  }
  return operands;
}

StepOperand add_temporary(NodeRecipe& recipe, const Dim& bytes) {
  recipe.temporaries.push_back(bytes);
  return {StepOperand::Kind::kTemporary, static_cast<int>(recipe.temporaries.size()) - 1};
}

StepOperand add_constant(NodeRecipe& recipe, int input, std::string layout,
                         std::function<std::vector<float>(absl::Span<const float>)> pack) {
  recipe.constants.push_back(
      {input, std::move(layout),
       [pack = std::move(pack)](const Tensor& source) -> absl::StatusOr<Tensor> {
         const std::vector<float> packed = pack(source.as<float>());
         return Tensor::copy_of(DType::kF32, {static_cast<int64_t>(packed.size())}, packed.data(),
                                packed.size() * sizeof(float));
       }});
  return {StepOperand::Kind::kConstant, static_cast<int>(recipe.constants.size()) - 1};
}

StepRecipe copy_bytes(const Dim& bytes) {
  const CopyBytesScalars scalars;
  StepRecipe step;
  step.kernel = kCopyBytes.name;
  step.scalars = {bytes, scalars.per_chunk};
  step.chunks = ceil_div(bytes, Dim(scalars.per_chunk));
  step.in_place = {{0, 0}};
  return step;
}

std::vector<Dim> dense_strides(const Shape& shape) {
  std::vector<Dim> strides(shape.size(), Dim(1));
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

bool CpuBackend::takes_composite(const Graph& graph, const Graph::Node& node) const {
  if (node.op->name == "fused") return true;
  const Entry* entry = entry_of(node.op->name);
  return entry != nullptr && (entry->takes == nullptr || entry->takes(graph, node));
}

bool CpuBackend::takes_epilogue(const Graph& graph, const Graph::Node& product,
                                const Epilogue& epilogue) const {
  if (product.op->name == "conv" || product.op->name == "conv_epilogue")
    return takes_conv_epilogue(graph, product, epilogue);
  return graph.type(product.output(0)).dtype == DType::kF32 &&
         activation_of(epilogue.activation).has_value();
}

std::optional<DType> CpuBackend::computes_in(const Graph& graph, const Graph::Node& node) const {
  const bool is_window = conv_attributes(node) != nullptr || node.attributes.is<PoolAttributes>();
  // Whose sums would be rounded after each term.
  const bool adds = node.op->name == "scatter_add" ||
                    (node.attributes.is<ScatterElementsAttributes>() &&
                     node.attributes.as<ScatterElementsAttributes>().reduction != "none");
  const bool is_matmul = node.attributes.is<MatmulAttributes>();
  if (!is_window && !adds && !is_matmul) return std::nullopt;
  const DType dtype = graph.type(node.output(0)).dtype;
  const bool narrow = dtype == DType::kF16 || dtype == DType::kBF16;
  // Products are summed in the type of their operands.
  if (is_matmul && (narrow || dtype == DType::kF32) &&
      node.attributes.as<MatmulAttributes>().accumulate == DType::kF64) {
    return DType::kF64;
  }
  return narrow ? std::optional(DType::kF32) : std::nullopt;
}

int64_t CpuBackend::channels_last_gain(const Graph& graph, const Graph::Node& node) const {
  if (conv_attributes(node) != nullptr) return conv_channels_last_gain(graph, node);
  // Pooling works on vectors of channels where they are neighbours.
  return node.attributes.is<PoolAttributes>() ? image_bytes(graph, node.inputs[0]) : 0;
}

bool CpuBackend::can_fuse(const Graph& graph, const Graph::Node& node) const {
  return can_be_tiled(graph, node);
}

absl::Status CpuBackend::accepts_region(const Graph& region) const {
  return compile_region(region, region.ranges()).status();
}

absl::StatusOr<NodeRecipe> CpuBackend::recipe(const RecipeSite& site) const {
  if (site.node.op->name == "fused") {
    return one_step(
        compile_region(*site.node.attributes.as<FusedAttributes>().region, site.ranges));
  }
  if (const Entry* entry = entry_of(site.node.op->name)) return entry->recipe(site);
  if (can_be_tiled(site.graph, site.node)) return tile_recipe(site);
  if (site.node.attributes.is<ReduceAttributes>()) return reduce_recipe(site);
  return no_kernel(site, "there is none");
}

StepRecipe CpuBackend::copy(const Dim& bytes) const { return copy_bytes(bytes); }

const Backend& cpu_backend() {
  static const CpuBackend* const backend = new CpuBackend;
  return *backend;
}

}  // namespace modellib::cpu
