#include "modellib/executors/cpu/backend/region_compiler.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/backend/unsigned_tiles.h"
#include "modellib/executors/cpu/kernels/tile_builder.h"
#include "modellib/executors/cpu/kernels/tile_program.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/constant.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/ops/index.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/random.h"
#include "modellib/ops/reduce.h"

namespace modellib::cpu {
namespace {

enum class Form { kUnary, kBinary, kTernary, kReduce };
struct Instruction {
  const char* op;
  TileOp tile;
  Form form;
};
constexpr Instruction kInstructions[] = {
    {"abs", TileOp::kAbs, Form::kUnary},
    {"ceil", TileOp::kCeil, Form::kUnary},
    {"cos", TileOp::kCos, Form::kUnary},
    {"erf", TileOp::kErf, Form::kUnary},
    {"exp", TileOp::kExp, Form::kUnary},
    {"expm1", TileOp::kExpm1, Form::kUnary},
    {"floor", TileOp::kFloor, Form::kUnary},
    {"is_finite", TileOp::kIsFinite, Form::kUnary},
    {"is_nan", TileOp::kIsNan, Form::kUnary},
    {"log", TileOp::kLog, Form::kUnary},
    {"log1p", TileOp::kLog1p, Form::kUnary},
    {"logical_not", TileOp::kNot, Form::kUnary},
    {"neg", TileOp::kNeg, Form::kUnary},
    {"reciprocal", TileOp::kReciprocal, Form::kUnary},
    {"relu", TileOp::kRelu, Form::kUnary},
    {"round", TileOp::kRound, Form::kUnary},
    {"rsqrt", TileOp::kRsqrt, Form::kUnary},
    {"sigmoid", TileOp::kSigmoid, Form::kUnary},
    {"sign", TileOp::kSign, Form::kUnary},
    {"sin", TileOp::kSin, Form::kUnary},
    {"sqrt", TileOp::kSqrt, Form::kUnary},
    {"tanh", TileOp::kTanh, Form::kUnary},
    {"trunc", TileOp::kTrunc, Form::kUnary},
    {"add", TileOp::kAdd, Form::kBinary},
    {"div", TileOp::kDiv, Form::kBinary},
    {"equal", TileOp::kEq, Form::kBinary},
    {"floor_div", TileOp::kFloorDiv, Form::kBinary},
    {"greater", TileOp::kGt, Form::kBinary},
    {"greater_equal", TileOp::kGe, Form::kBinary},
    {"less", TileOp::kLt, Form::kBinary},
    {"less_equal", TileOp::kLe, Form::kBinary},
    {"logical_and", TileOp::kAnd, Form::kBinary},
    {"logical_or", TileOp::kOr, Form::kBinary},
    {"logical_xor", TileOp::kXor, Form::kBinary},
    {"maximum", TileOp::kMax, Form::kBinary},
    {"minimum", TileOp::kMin, Form::kBinary},
    {"mod", TileOp::kMod, Form::kBinary},
    {"mul", TileOp::kMul, Form::kBinary},
    {"not_equal", TileOp::kNe, Form::kBinary},
    {"pow", TileOp::kPow, Form::kBinary},
    {"sub", TileOp::kSub, Form::kBinary},
    {"where", TileOp::kSelect, Form::kTernary},
    {"reduce_all", TileOp::kReduceMin, Form::kReduce},
    {"reduce_any", TileOp::kReduceMax, Form::kReduce},
    {"reduce_max", TileOp::kReduceMax, Form::kReduce},
    {"reduce_mean", TileOp::kSum, Form::kReduce},
    {"reduce_min", TileOp::kReduceMin, Form::kReduce},
    {"reduce_prod", TileOp::kProd, Form::kReduce},
    {"reduce_sum", TileOp::kSum, Form::kReduce},
};

const Instruction* instruction_for(absl::string_view op) {
  for (const Instruction& i : kInstructions) {
    if (op == i.op) return &i;
  }
  return nullptr;
}

// Numbers in, numbers out, but not where the one moves a little the other does too.
bool has_jumps(absl::string_view op) {
  return op == "ceil" || op == "floor" || op == "floor_div" || op == "mod" || op == "round" ||
         op == "sign" || op == "trunc";
}

bool is_random(const Graph::Node& node) {
  return node.op->name == "random_uniform" || node.op->name == "random_bits";
}

// A row is reduced by one worker: rows that are few and long are better split (cpu.reduce).
constexpr int64_t kLongRow = 1 << 15;
constexpr int64_t kFewRows = 4;

bool reduces_last_axis(const Graph& graph, const Graph::Node& node) {
  const auto& a = node.attributes.as<ReduceAttributes>();
  const Shape& shape = graph.type(node.inputs[0]).shape;
  const auto rank = static_cast<int64_t>(shape.size());
  if (!a.keepdims || a.axes.size() != 1) return false;
  if (a.axes[0] != -1 && a.axes[0] != rank - 1) return false;
  // Tiles sum f32 in f32.
  if (a.accumulate == DType::kF64 && graph.type(node.inputs[0]).dtype != DType::kF64) return false;
  // In a wider region a row of one element would be one of as many as the region has columns.
  if (shape.back() == Dim(1)) return false;
  const Dim rows = element_count({shape.data(), shape.size() - 1});
  const bool few_and_long = rows.is_static() && rows.value() <= kFewRows &&
                            shape.back().is_static() && shape.back().value() >= kLongRow;
  return !few_and_long;
}

// How a map steps through memory: elements for each dimension of the space, then where it starts.
struct Access {
  std::vector<Dim> strides;
  Dim base = 0;
};

// Strides of a dense value of `shape` that is broadcast over the space.
Access access_of(const Shape& shape, size_t space_rank) {
  Access access{std::vector<Dim>(space_rank, Dim(0)), 0};
  Dim stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (!(shape[i] == Dim(1))) access.strides[space_rank - shape.size() + i] = stride;
    stride = stride * shape[i];
  }
  return access;
}

class RegionCompiler {
 public:
  RegionCompiler(const Graph& region, const DimRanges& ranges) : region_(region), ranges_(ranges) {
    for (const Graph::Constraint& c : region.constraints()) hold_equal(c.left, c.right);
  }

  absl::StatusOr<StepRecipe> run() {
    MODELLIB_RETURN_IF_ERROR(find_space());
    collect_accesses();
    merge_dimensions();
    if (space_.size() > kTileMaxRowDims + 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("a region of ", space_.size(), " dimensions that do not merge"));
    }
    TileProgramBuilder builder(row_dims());
    builder_ = &builder;
    MODELLIB_RETURN_IF_ERROR(translate());
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes,
                              builder.encode(static_cast<int>(region_.outputs().size())));
    return make_recipe(bytes);
  }

 private:
  // Extents that a constraint holds equal, as "n" and "2*m" in the sum of an image and one that was
  // scaled up: each of the first stands for the second. What is bound is checked against it.
  void hold_equal(const Dim& left, const Dim& right) {
    Dim kept = representative(left), replaced = representative(right);
    if (kept == replaced) return;
    // No operand is smaller than the smaller bound says.
    if (replaced.range(ranges_).max < kept.range(ranges_).max) std::swap(kept, replaced);
    for (auto& [from, to] : equal_) {
      if (to == replaced) to = kept;
    }
    equal_.emplace_back(replaced, kept);
  }
  Dim representative(const Dim& extent) const {
    for (const auto& [from, to] : equal_) {
      if (extent == from) return to;
    }
    return extent;
  }
  Shape shape(ValueId id) const {
    Shape shape = region_.type(id).shape;
    for (Dim& extent : shape) extent = representative(extent);
    return shape;
  }

  int row_dims() const { return static_cast<int>(space_.size()) - 1; }
  Dim rows() const { return element_count({space_.data(), space_.size() - 1}); }

  // The broadcast of all shapes: the largest rank, and in each dimension what is not 1.
  absl::Status find_space() {
    for (size_t id = 0; id < region_.values().size(); ++id) {
      const Shape shape = this->shape(static_cast<ValueId>(id));
      if (shape.size() > space_.size())
        space_.insert(space_.begin(), shape.size() - space_.size(), 1);
      for (size_t i = 0; i < shape.size(); ++i) {
        Dim& extent = space_[space_.size() - shape.size() + i];
        if (shape[i] == Dim(1) || shape[i] == extent) continue;
        if (!(extent == Dim(1))) {
          return absl::InvalidArgumentError(absl::StrCat("extents ", extent.to_string(), " and ",
                                                         shape[i].to_string(),
                                                         " do not share an iteration space"));
        }
        extent = shape[i];
      }
    }
    if (space_.empty()) space_.push_back(1);
    for (const Graph::Node& node : region_.nodes()) {
      const Instruction* i = instruction_for(node.op->name);
      if (i != nullptr && i->form == Form::kReduce) has_reduction_ = true;
    }
    return absl::OkStatus();
  }

  // One access for each operand (outputs, then inputs) and for each index-like node.
  void collect_accesses() {
    const size_t rank = space_.size();
    for (const Graph::Output& out : region_.outputs()) {
      accesses_.push_back(access_of(shape(out.value), rank));
    }
    for (ValueId id : region_.inputs()) {
      accesses_.push_back(access_of(shape(id), rank));
    }
    for (size_t n = 0; n < region_.nodes().size(); ++n) {
      const Graph::Node& node = region_.nodes()[n];
      if (node.op->name == "iota") {
        const Shape shape = this->shape(node.output(0));
        const int64_t axis = node.attributes.as<IotaAttributes>().axis;
        Access access{std::vector<Dim>(rank, Dim(0)), 0};
        const auto at =
            static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis);
        if (!(shape[at] == Dim(1))) access.strides[rank - shape.size() + at] = 1;
        index_access_[static_cast<NodeId>(n)] = accesses_.size();
        accesses_.push_back(std::move(access));
      } else if (is_random(node)) {
        index_access_[static_cast<NodeId>(n)] = accesses_.size();
        accesses_.push_back(access_of(shape(node.output(0)), rank));
      }
    }
  }

  // Drops dimensions of extent 1 and joins neighbours that every access steps through as one. The
  // columns of a region that reduces stay what they are.
  void merge_dimensions() {
    const auto erase = [&](size_t d) {
      space_.erase(space_.begin() + static_cast<std::ptrdiff_t>(d));
      for (Access& a : accesses_)
        a.strides.erase(a.strides.begin() + static_cast<std::ptrdiff_t>(d));
    };
    for (size_t d = space_.size() - 1; d-- > 0;) {
      if (space_[d] == Dim(1)) erase(d);
    }
    if (!has_reduction_ && space_.size() > 1 && space_.back() == Dim(1)) erase(space_.size() - 1);
    for (size_t d = space_.size() - 1; d-- > 0;) {
      if (has_reduction_ && d + 2 == space_.size()) continue;
      const bool joins = std::all_of(accesses_.begin(), accesses_.end(), [&](const Access& a) {
        return a.strides[d] == a.strides[d + 1] * space_[d + 1];
      });
      if (!joins) continue;
      const Dim extent = space_[d] * space_[d + 1];
      erase(d);
      space_[d] = extent;
    }
  }

  TileShape shape_of(const Access& access) const {
    if (!(access.strides.back() == Dim(0))) return TileShape::kFull;
    for (const Dim& s : access.strides) {
      if (!(s == Dim(0))) return TileShape::kRow;
    }
    return TileShape::kUniform;
  }

  absl::Status translate() {
    const size_t outputs = region_.outputs().size();
    for (size_t i = 0; i < outputs; ++i) {
      builder_->output(static_cast<int>(i), region_.type(region_.outputs()[i].value).dtype);
      map_access_.push_back(i);
    }
    values_.resize(region_.values().size());
    for (size_t i = 0; i < region_.inputs().size(); ++i) {
      const ValueId id = region_.inputs()[i];
      const int map = builder_->input(static_cast<int>(i), region_.type(id).dtype);
      map_access_.push_back(outputs + i);
      const Access& access = accesses_[outputs + i];
      values_[static_cast<size_t>(id)] = builder_->load(map, shape_of(access));
    }
    for (size_t n = 0; n < region_.nodes().size(); ++n) {
      MODELLIB_RETURN_IF_ERROR(translate(static_cast<NodeId>(n)));
    }
    for (size_t i = 0; i < outputs; ++i) {
      const ValueId id = region_.outputs()[i].value;
      TileValue v = values_[static_cast<size_t>(id)];
      const TileShape wanted = shape_of(accesses_[i]);
      if (wanted == TileShape::kFull) {
        v = builder_->full(v);
      } else {
        // One value a row: its columns stay in one chunk.
        whole_rows_ = true;
        if (wanted == TileShape::kUniform && !(rows() == Dim(1))) {
          return absl::InvalidArgumentError(
              absl::StrCat("output ", i, " is the same for all elements"));
        }
      }
      builder_->store(static_cast<int>(i), v);
    }
    return absl::OkStatus();
  }

  TileValue constant(const Tensor& tensor) {
    const TileType type = tile_type_of(tensor.dtype());
    if (type == TileType::kF32 || type == TileType::kF64)
      return builder_->constant(tensor.at(0), type);
    return builder_->constant_int(tensor.int_at(0), type);
  }

  absl::Status translate(NodeId id) {
    const Graph::Node& node = region_.node(id);
    TileValue& result = values_[static_cast<size_t>(node.output(0))];
    const auto operand = [&](int i) {
      return values_[static_cast<size_t>(node.inputs[static_cast<size_t>(i)])];
    };
    if (const Tensor* tensor = constant_value(region_, node.output(0))) {
      if (tensor->elements() != 1)
        return absl::InvalidArgumentError("a constant of several elements");
      result = constant(*tensor);
      return absl::OkStatus();
    }
    const absl::string_view name = node.op->name;
    const DType dtype = region_.type(node.output(0)).dtype;
    // 16-bit floats keep the register's precision until they are stored. What asks where a number
    // lies must see the number that would be stored.
    const auto stored = [&](int i) {
      const ValueId id = node.inputs[static_cast<size_t>(i)];
      const DType d = region_.type(id).dtype;
      const bool narrow = d == DType::kF16 || d == DType::kBF16;
      return narrow && region_.value(id).producer >= 0 ? builder_->round_to(operand(i), d)
                                                       : operand(i);
    };
    if (name == "broadcast_to" || name == "stop_gradient") {
      result = operand(0);
      return absl::OkStatus();
    }
    if (name == "cast") {
      result = cast(is_floating(dtype) ? operand(0) : stored(0), region_.type(node.inputs[0]).dtype,
                    dtype);
      return absl::OkStatus();
    }
    if (name == "iota") {
      const size_t access = index_access_.at(id);
      const auto& strides = accesses_[access].strides;
      if (std::all_of(strides.begin(), strides.end(), [](const Dim& d) { return d == Dim(0); })) {
        // Along an axis of one element.
        result = constant(*Tensor::zeros(dtype, {}));
        return absl::OkStatus();
      }
      const int map = builder_->index();
      map_access_.push_back(access);
      const TileType type = tile_type_of(dtype);
      result = builder_->iota(map, type, shape_of(accesses_[access]));
      if (is_integer(dtype) && bits_of(dtype) < bits_of_register(type)) {
        result = builder_->round_to(result, dtype);
      }
      return absl::OkStatus();
    }
    if (is_random(node)) {
      translate_random(id);
      return absl::OkStatus();
    }
    const Instruction* instruction = instruction_for(name);
    if (instruction == nullptr)
      return absl::InvalidArgumentError(absl::StrCat("no tile op for ", name));
    const bool jumps = has_jumps(name) || dtype == DType::kBool;
    const bool is_u64 = region_.type(node.inputs[0]).dtype == DType::kU64;
    switch (instruction->form) {
      case Form::kUnary:
        result = builder_->unary(instruction->tile, jumps ? stored(0) : operand(0));
        break;
      case Form::kBinary:
        result = is_u64  ? unsigned_binary(*builder_, instruction->tile, operand(0), operand(1))
                 : jumps ? builder_->binary(instruction->tile, stored(0), stored(1))
                         : builder_->binary(instruction->tile, operand(0), operand(1));
        break;
      case Form::kTernary:
        result = builder_->ternary(instruction->tile, operand(0), operand(1), operand(2));
        break;
      case Form::kReduce:
        whole_rows_ = true;
        result = name == "reduce_mean" ? builder_->mean(operand(0))
                 : is_u64              ? unsigned_reduce(*builder_, instruction->tile, operand(0))
                                       : builder_->reduce(instruction->tile, operand(0));
        result = bounded(result, instruction->tile, dtype);
        break;
    }
    // Integers narrower than their registers wrap.
    if (is_integer(dtype) && bits_of(dtype) < bits_of_register(tile_type_of(dtype))) {
      result = builder_->round_to(result, dtype);
    }
    return absl::OkStatus();
  }

  TileValue cast(TileValue v, DType from, DType to) {
    const TileType type = tile_type_of(to);
    if (to == DType::kU64 && is_floating(from)) return float_to_unsigned(*builder_, v);
    v = from == DType::kU64 && is_floating(to) ? unsigned_to_float(*builder_, v, type)
                                               : builder_->cast(v, type);
    if (to == DType::kF16 || to == DType::kBF16) return builder_->round_to(v, to);
    if (!is_integer(to) || bits_of(to) == bits_of_register(type)) return v;
    if (!is_floating(from)) return builder_->round_to(v, to);
    // Floats saturate at the ends of the narrower type, where integers wrap.
    const bool is_signed = is_signed_integer(to);
    const int64_t top = (int64_t{1} << (bits_of(to) - is_signed)) - 1;
    v = builder_->binary(TileOp::kMin, v, builder_->constant_int(top, type));
    return builder_->binary(TileOp::kMax, v,
                            builder_->constant_int(is_signed ? -top - 1 : 0, type));
  }

  // The largest or smallest of nothing, a bound of the register, as one of a narrower type. Where
  // that has no sign, the low bits are its bound.
  TileValue bounded(TileValue v, TileOp reduction, DType dtype) {
    const TileType type = tile_type_of(dtype);
    if (!is_signed_integer(dtype) || bits_of(dtype) == bits_of_register(type)) return v;
    const int64_t top = (int64_t{1} << (bits_of(dtype) - 1)) - 1;
    if (reduction == TileOp::kReduceMax) {
      return builder_->binary(TileOp::kMax, v, builder_->constant_int(-top - 1, type));
    }
    if (reduction == TileOp::kReduceMin) {
      return builder_->binary(TileOp::kMin, v, builder_->constant_int(top, type));
    }
    return v;
  }

  static int bits_of_register(TileType type) { return type == TileType::kI32 ? 32 : 64; }

  void translate_random(NodeId id) {
    const Graph::Node& node = region_.node(id);
    const auto& a = node.attributes.as<RandomAttributes>();
    const TileValue key = values_[static_cast<size_t>(node.inputs[0])];
    const TileValue stream = builder_->constant_int(a.stream, TileType::kI64);
    map_access_.push_back(index_access_.at(id));
    TileValue& result = values_[static_cast<size_t>(node.output(0))];
    if (node.op->name == "random_bits") {
      const TileValue bits = builder_->random_bits(builder_->index(), key, stream);
      result = builder_->round_to(builder_->cast(bits, TileType::kI64), DType::kU32);
    } else {
      result = cast(builder_->uniform(builder_->index(), key, stream), DType::kF32, a.dtype);
    }
  }

  absl::StatusOr<StepRecipe> make_recipe(const std::vector<std::byte>& bytes) {
    StepRecipe recipe;
    recipe.kernel = kTileKernelName;
    recipe.data.resize(bytes.size());
    std::memcpy(recipe.data.data(), bytes.data(), bytes.size());
    for (size_t i = 0; i < region_.outputs().size(); ++i) {
      recipe.outputs.push_back({StepOperand::Kind::kOutput, static_cast<int>(i)});
    }
    for (size_t i = 0; i < region_.inputs().size(); ++i) {
      recipe.inputs.push_back({StepOperand::Kind::kInput, static_cast<int>(i)});
    }
    const Dim rows = this->rows();
    const Dim cols = space_.back();
    const TileSplit split =
        choose_tile_split(rows.range(ranges_).max, cols.range(ranges_).max, whole_rows_,
                          static_cast<int>(region_.nodes().size()));
    recipe.scalars = {split.rows_per_chunk, split.cols_per_chunk};
    recipe.scalars.insert(recipe.scalars.end(), space_.begin(), space_.end());
    for (size_t access : map_access_) {
      const Access& a = accesses_[access];
      recipe.scalars.push_back(a.base);
      recipe.scalars.insert(recipe.scalars.end(), a.strides.begin(), a.strides.end());
    }
    // A reduction of no columns has a result too.
    const Dim pieces = ceil_div(cols, Dim(split.cols_per_chunk));
    recipe.chunks =
        ceil_div(rows, Dim(split.rows_per_chunk)) * (whole_rows_ ? max(pieces, Dim(1)) : pieces);
    // An output takes an input's place if both are stepped through alike.
    for (size_t o = 0; o < region_.outputs().size(); ++o) {
      const TensorType& to = region_.type(region_.outputs()[o].value);
      for (size_t i = 0; i < region_.inputs().size(); ++i) {
        const TensorType& from = region_.type(region_.inputs()[i]);
        if (bits_of(from.dtype) == bits_of(to.dtype) && from.shape == to.shape) {
          recipe.in_place.emplace_back(static_cast<int>(o), static_cast<int>(i));
        }
      }
    }
    return recipe;
  }

  const Graph& region_;
  const DimRanges& ranges_;
  std::vector<std::pair<Dim, Dim>> equal_;  // what is replaced, by what
  Shape space_;
  bool has_reduction_ = false;
  bool whole_rows_ = false;
  std::vector<Access> accesses_;
  std::vector<size_t> map_access_;  // by map of the program
  absl::flat_hash_map<NodeId, size_t> index_access_;
  std::vector<TileValue> values_;
  TileProgramBuilder* builder_ = nullptr;
};

}  // namespace

bool can_be_tiled(const Graph& graph, const Graph::Node& node) {
  for (ValueId in : node.inputs) {
    if (in == kNoValue || !tile_loadable(graph.type(in).dtype)) return false;
  }
  if (node.num_outputs != 1 || !tile_loadable(graph.type(node.output(0)).dtype)) return false;
  const absl::string_view name = node.op->name;
  if (name == "broadcast_to" || name == "cast" || name == "stop_gradient") return true;
  if (name == "iota" || is_random(node)) return true;
  const Instruction* instruction = instruction_for(name);
  if (instruction == nullptr) return false;
  return instruction->form != Form::kReduce || reduces_last_axis(graph, node);
}

absl::StatusOr<StepRecipe> compile_region(const Graph& region, const DimRanges& ranges) {
  return RegionCompiler(region, ranges).run();
}

absl::StatusOr<StepRecipe> compile_single(const RecipeSite& site,
                                          absl::Span<const TensorType> operands) {
  const OpRegistry no_ops;
  GraphBuilder builder(no_ops, site.node.op->name);
  std::vector<Value> inputs;
  for (size_t i = 0; i < operands.size(); ++i) {
    inputs.push_back(builder.input(absl::StrCat("in", i), operands[i]));
  }
  const std::vector<Value> outputs = builder.emit(*site.node.op, inputs, site.node.attributes);
  for (size_t i = 0; i < outputs.size(); ++i) builder.output(absl::StrCat("out", i), outputs[i]);
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef region, builder.build());
  return compile_region(*region, site.ranges);
}

}  // namespace modellib::cpu
