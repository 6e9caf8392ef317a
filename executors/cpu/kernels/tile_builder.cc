#include "modellib/executors/cpu/kernels/tile_builder.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {

int TileProgramBuilder::add_map(int operand, bool is_output, DType dtype) {
  maps_.push_back({static_cast<uint8_t>(operand), is_output, dtype, 0});
  if (operand < 0 || operand > TileMap::kVirtual ||
      (operand != TileMap::kVirtual && !tile_loadable(dtype))) {
    fail(absl::StrCat("operand ", operand, " of type ", to_string(dtype), " cannot be mapped"));
  }
  return static_cast<int>(maps_.size()) - 1;
}

TileValue TileProgramBuilder::fail(absl::string_view why) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat("tile program: ", why));
  return {};
}

TileValue TileProgramBuilder::emit(Node node) {
  if (!status_.ok()) return {};
  // Values are hash-consed: a program has no side effects but its stores.
  if (node.op != TileOp::kStore) {
    const auto it = known_.find(node);
    if (it != known_.end()) return {it->second};
  }
  const int id = static_cast<int>(nodes_.size());
  nodes_.push_back(node);
  if (node.op != TileOp::kStore) known_.emplace(node, id);
  return {id};
}

TileType TileProgramBuilder::type(TileValue v) const {
  return valid(v) ? nodes_[v.id].type : TileType::kF32;
}
TileShape TileProgramBuilder::shape(TileValue v) const {
  return valid(v) ? nodes_[v.id].shape : TileShape::kUniform;
}
TileShape TileProgramBuilder::joined(std::initializer_list<TileValue> values) const {
  TileShape s = TileShape::kUniform;
  for (const TileValue v : values) s = std::min(s, shape(v));
  return s;
}

TileValue TileProgramBuilder::load(int map, TileShape shape) {
  if (map < 0 || map >= static_cast<int>(maps_.size())) return fail("load of an unknown map");
  return emit(
      {.op = TileOp::kLoad, .type = tile_type_of(maps_[map].dtype), .shape = shape, .map = map});
}

TileValue TileProgramBuilder::gather(int map, TileValue index, int limit) {
  if (map < 0 || map >= static_cast<int>(maps_.size())) return fail("gather from an unknown map");
  if (!valid(index)) return fail("gather takes a value that failed");
  return emit({.op = TileOp::kGather,
               .type = tile_type_of(maps_[map].dtype),
               .shape = std::min(shape(index), TileShape::kRow),
               .src = {index.id, -1, -1},
               .map = map,
               .imm = limit});
}

void TileProgramBuilder::store(int map, TileValue value) {
  if (map < 0 || map >= static_cast<int>(maps_.size()) || !valid(value)) {
    fail("store to an unknown map or of a value that failed");
    return;
  }
  emit({.op = TileOp::kStore,
        .type = type(value),
        .shape = shape(value),
        .src = {value.id, -1, -1},
        .map = map});
}

TileValue TileProgramBuilder::constant(double value, TileType type) {
  if (type == TileType::kF32 || type == TileType::kF64) {
    return emit({.op = TileOp::kConstant,
                 .type = type,
                 .shape = TileShape::kUniform,
                 .imm = std::bit_cast<int64_t>(value)});
  }
  return constant_int(static_cast<int64_t>(value), type);
}

TileValue TileProgramBuilder::constant_int(int64_t value, TileType type) {
  if (type == TileType::kF32 || type == TileType::kF64) {
    return constant(static_cast<double>(value), type);
  }
  return emit({.op = TileOp::kConstant, .type = type, .shape = TileShape::kUniform, .imm = value});
}

TileValue TileProgramBuilder::scalar(int user_scalar, TileType type) {
  return emit(
      {.op = TileOp::kScalar, .type = type, .shape = TileShape::kUniform, .imm = user_scalar});
}

TileValue TileProgramBuilder::columns(TileType type) {
  return emit({.op = TileOp::kColumns, .type = type, .shape = TileShape::kUniform});
}

TileValue TileProgramBuilder::iota(int map, TileType type, TileShape shape) {
  return emit({.op = TileOp::kIota, .type = type, .shape = shape, .map = map});
}

TileValue TileProgramBuilder::random_bits(int map, TileValue key, TileValue stream) {
  return emit({.op = TileOp::kRandomBits,
               .type = TileType::kI32,
               .shape = TileShape::kFull,
               .src = {key.id, stream.id, -1},
               .map = map});
}

TileValue TileProgramBuilder::uniform(int map, TileValue key, TileValue stream) {
  return emit({.op = TileOp::kUniform,
               .type = TileType::kF32,
               .shape = TileShape::kFull,
               .src = {key.id, stream.id, -1},
               .map = map});
}

TileValue TileProgramBuilder::unary(TileOp op, TileValue a) {
  if (!valid(a) || tile_op_sources(op) != 1) {
    return fail(absl::StrCat(tile_op_name(op), " is not unary, or takes a value that failed"));
  }
  const TileType type =
      tile_op_class(op) == TileClass::kUnaryTest ? TileType::kBool : this->type(a);
  return emit({.op = op, .type = type, .shape = shape(a), .src = {a.id, -1, -1}});
}

TileValue TileProgramBuilder::binary(TileOp op, TileValue a, TileValue b) {
  if (!valid(a) || !valid(b) || tile_op_sources(op) != 2) {
    return fail(absl::StrCat(tile_op_name(op), " is not binary, or takes a value that failed"));
  }
  if (type(a) != type(b)) return fail(absl::StrCat(tile_op_name(op), " of two different types"));
  const TileType type = tile_op_class(op) == TileClass::kCompare ? TileType::kBool : this->type(a);
  return emit({.op = op, .type = type, .shape = joined({a, b}), .src = {a.id, b.id, -1}});
}

TileValue TileProgramBuilder::ternary(TileOp op, TileValue a, TileValue b, TileValue c) {
  if (!valid(a) || !valid(b) || !valid(c) || tile_op_sources(op) != 3) {
    return fail(absl::StrCat(tile_op_name(op), " is not ternary, or takes a value that failed"));
  }
  if (type(b) != type(c)) return fail(absl::StrCat(tile_op_name(op), " of different types"));
  return emit({.op = op, .type = type(b), .shape = joined({a, b, c}), .src = {a.id, b.id, c.id}});
}

TileValue TileProgramBuilder::cast(TileValue a, TileType to) {
  if (!valid(a)) return fail("cast takes a value that failed");
  if (type(a) == to) return a;
  return emit({.op = TileOp::kCast, .type = to, .shape = shape(a), .src = {a.id, -1, -1}});
}

TileValue TileProgramBuilder::round_to(TileValue a, DType dtype) {
  if (!valid(a)) return fail("round_to takes a value that failed");
  if (type(a) == TileType::kF32 && dtype == DType::kF32) return a;
  return emit({.op = TileOp::kRoundTo,
               .type = type(a),
               .shape = shape(a),
               .src = {a.id, -1, -1},
               .imm = static_cast<int64_t>(dtype)});
}

TileValue TileProgramBuilder::full(TileValue a) {
  if (!valid(a)) return fail("full takes a value that failed");
  if (shape(a) == TileShape::kFull) return a;
  // A cast to the same type copies, and its result may be wider.
  return emit(
      {.op = TileOp::kCast, .type = type(a), .shape = TileShape::kFull, .src = {a.id, -1, -1}});
}

TileValue TileProgramBuilder::reduce(TileOp op, TileValue a) {
  if (!valid(a) || tile_op_class(op) != TileClass::kReduce) {
    return fail(absl::StrCat(tile_op_name(op), " is no reduction, or takes a value that failed"));
  }
  a = full(a);
  return emit({.op = op, .type = type(a), .shape = TileShape::kRow, .src = {a.id, -1, -1}});
}

TileValue TileProgramBuilder::mean(TileValue a) {
  return binary(TileOp::kDiv, reduce(TileOp::kSum, a), columns(type(a)));
}

// Turns nodes into the order and registers of the format.
struct TileProgramBuilder::Encoder {
  const TileProgramBuilder& b;
  std::vector<int> order;  // node ids, stores included
  std::vector<int> place;  // of a node in `order`, or -1
  std::vector<int> level;  // column loops that must have ended before the value can be had
  std::vector<int> reg;
  std::vector<uint16_t> mask;
  std::vector<TileRegister> registers;
  int passes = 1;

  explicit Encoder(const TileProgramBuilder& builder)
      : b(builder),
        place(b.nodes_.size(), -1),
        level(b.nodes_.size(), 0),
        reg(b.nodes_.size(), -1),
        mask(b.nodes_.size(), 0) {}

  bool reduces(int id) const { return tile_op_class(b.nodes_[id].op) == TileClass::kReduce; }
  bool full(int id) const { return b.nodes_[id].shape == TileShape::kFull; }

  void visit(int id) {
    if (place[id] >= 0) return;
    for (const int s : b.nodes_[id].src) {
      if (s >= 0) visit(s);
    }
    place[id] = static_cast<int>(order.size());
    order.push_back(id);
  }

  // Uniform values first; then what the stores need, as late as possible; a store as soon as its
  // value is there, but after every load, since an output may share its memory with an input.
  void make_order() {
    std::vector<int> stores;
    for (size_t id = 0; id < b.nodes_.size(); ++id) {
      if (b.nodes_[id].op != TileOp::kStore) continue;
      stores.push_back(static_cast<int>(id));
      visit(b.nodes_[id].src[0]);
    }
    std::stable_partition(order.begin(), order.end(),
                          [&](int id) { return b.nodes_[id].shape == TileShape::kUniform; });
    std::vector<int> mixed;
    size_t uniforms = 0;
    for (const int id : order) uniforms += b.nodes_[id].shape == TileShape::kUniform;
    int loads = 0;
    for (const int id : order) loads += touches_memory(id);
    size_t done = 0;
    for (const int id : order) {
      mixed.push_back(id);
      place[id] = 0;  // from here on: emitted
      loads -= touches_memory(id);
      while (loads == 0 && mixed.size() >= uniforms && done < stores.size() &&
             emitted(mixed, b.nodes_[stores[done]].src[0])) {
        mixed.push_back(stores[done++]);
      }
    }
    for (; done < stores.size(); ++done) mixed.push_back(stores[done]);
    order = std::move(mixed);
    for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int>(i);
  }
  bool touches_memory(int id) const {
    return b.nodes_[id].op == TileOp::kLoad || b.nodes_[id].op == TileOp::kGather;
  }
  static bool emitted(const std::vector<int>& mixed, int id) {
    return std::find(mixed.begin(), mixed.end(), id) != mixed.end();
  }

  void make_passes() {
    for (const int id : order) {
      for (const int s : b.nodes_[id].src) {
        if (s >= 0) level[id] = std::max(level[id], level[s] + (reduces(s) ? 1 : 0));
      }
      if (full(id) || reduces(id)) passes = std::max(passes, level[id] + 1);
    }
    if (passes > kTileMaxPasses) return;  // encode() refuses it
    // A Full instruction runs in each pass that has a reduction or store which needs it.
    for (int i = static_cast<int>(order.size()) - 1; i >= 0; --i) {
      const int id = order[i];
      if (b.nodes_[id].op == TileOp::kStore && full(id)) mask[id] = 1u << (passes - 1);
      const uint16_t needed = reduces(id) ? 1u << level[id] : full(id) ? mask[id] : 0;
      for (const int s : b.nodes_[id].src) {
        if (s >= 0 && full(s)) mask[s] |= needed;
      }
    }
  }

  int new_register(const Node& n) {
    registers.push_back({n.type, n.shape});
    return static_cast<int>(registers.size()) - 1;
  }

  // Linear scan: a Full register is free again after the last instruction that reads it.
  void make_registers() {
    std::vector<int> last(b.nodes_.size(), -1);
    for (size_t i = 0; i < order.size(); ++i) {
      for (const int s : b.nodes_[order[i]].src) {
        if (s >= 0) last[s] = static_cast<int>(i);
      }
    }
    std::vector<int> free;
    for (size_t i = 0; i < order.size(); ++i) {
      const Node& n = b.nodes_[order[i]];
      for (const int s : n.src) {
        if (s >= 0 && full(s) && last[s] == static_cast<int>(i) &&
            std::find(free.begin(), free.end(), reg[s]) == free.end()) {
          free.push_back(reg[s]);
        }
      }
      if (n.op == TileOp::kStore) continue;
      if (n.shape == TileShape::kFull) {
        const auto it = std::find_if(free.begin(), free.end(),
                                     [&](int r) { return registers[r].type == n.type; });
        if (it != free.end()) {
          reg[order[i]] = *it;
          free.erase(it);
          continue;
        }
      }
      reg[order[i]] = new_register(n);
    }
  }
};

absl::StatusOr<std::vector<std::byte>> TileProgramBuilder::encode(int outputs) const {
  if (!status_.ok()) return status_;
  Encoder e(*this);
  e.make_order();
  e.make_passes();
  e.make_registers();
  if (e.registers.size() > 255 || e.order.size() > kTileMaxInstructions ||
      maps_.size() > kTileMaxMaps || e.passes > kTileMaxPasses || outputs < 0 || outputs > 255 ||
      user_scalars_ > kTileMaxUser || row_dims_ < 0 || row_dims_ > kTileMaxRowDims) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tile program: too large: ", e.registers.size(), " registers, ", e.order.size(),
        " instructions, ", maps_.size(), " maps, ", e.passes, " passes"));
  }
  TileHeader header = {};
  header.magic = kTileMagic;
  header.version = kTileVersion;
  header.row_dims = static_cast<uint8_t>(row_dims_);
  header.maps = static_cast<uint8_t>(maps_.size());
  header.instructions = static_cast<uint16_t>(e.order.size());
  header.registers = static_cast<uint8_t>(e.registers.size());
  header.passes = static_cast<uint8_t>(e.passes);
  header.user_scalars = static_cast<uint8_t>(user_scalars_);
  header.outputs = static_cast<uint8_t>(outputs);
  std::vector<TileInstruction> code;
  for (const int id : e.order) {
    const Node& n = nodes_[id];
    TileInstruction in = {};
    in.op = n.op;
    in.map = static_cast<uint8_t>(n.map);
    in.imm = n.imm;
    for (int s = 0; s < 3; ++s)
      in.src[s] = n.src[s] >= 0 ? static_cast<uint8_t>(e.reg[n.src[s]]) : 0;
    if (n.op != TileOp::kStore) {
      in.dst = static_cast<uint8_t>(e.reg[id]);
      header.uniforms += n.shape == TileShape::kUniform;
    }
    // Row stores wait until every pass has read its inputs.
    in.pass = static_cast<uint8_t>(n.op == TileOp::kStore && !e.full(id) ? e.passes : e.level[id]);
    in.mask = e.mask[id];
    code.push_back(in);
  }
  const auto append = [](std::vector<std::byte>& out, const void* data, size_t bytes) {
    const auto* p = static_cast<const std::byte*>(data);
    out.insert(out.end(), p, p + bytes);
  };
  std::vector<std::byte> out;
  append(out, &header, sizeof(header));
  append(out, maps_.data(), maps_.size() * sizeof(TileMap));
  append(out, e.registers.data(), e.registers.size() * sizeof(TileRegister));
  out.resize((out.size() + 7) & ~size_t{7});
  append(out, code.data(), code.size() * sizeof(TileInstruction));
  // What the loader will check, so that a mistake is told where it was made.
  MODELLIB_RETURN_IF_ERROR(parse_tile_program(out).status());
  return out;
}

}  // namespace modellib::cpu
