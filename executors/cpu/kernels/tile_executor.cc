// Runs tile programs: walks the rows of a chunk tile by tile and each instruction over a whole
// tile, so that choosing an instruction costs nothing beside running it.
//
// A tile holds several rows when they are short, whole rows when the program reduces them, and
// blocks of a row where it is long. Rows too long for the registers run in passes: each pass goes
// over the row block by block and completes some reductions; what later passes need again is
// computed again, from a row that lies in the second-level cache.
#include "modellib/executors/cpu/kernels/tile_program.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "executors/cpu/kernels/tile_executor.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "modellib/executors/cpu/kernels/checked.h"
#include "modellib/executors/cpu/kernels/tile_memory-inl.h"
#include "modellib/executors/cpu/kernels/tile_ops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace modellib::cpu {
namespace HWY_NAMESPACE {

// Bytes of all Full registers together. The first number is what the first-level cache keeps beside
// the operands, the second what a row may fill before it runs in passes. They lie on the stack of
// the worker.
inline constexpr int64_t kCachedBytes = 32 << 10;
inline constexpr int64_t kResidentBytes = 128 << 10;
inline constexpr int64_t kMaxTileRows = 64;
inline constexpr int64_t kMaxBlock = 1024;
inline constexpr int64_t kMinBlock = 128;  // 64 registers of 8 bytes fit kResidentBytes with it

inline int64_t size_of(TileType type) {
  return type == TileType::kF64 || type == TileType::kI64 ? 8 : 4;
}
inline int64_t round_up(int64_t n) {
  return (n + static_cast<int64_t>(kTileLanes) - 1) / kTileLanes * kTileLanes;
}

class TileRun {
 public:
  TileRun(const runtime::KernelArgs& args, const TileView& program)
      : args_(args), p_(program), at_(program.layout()) {}

  HWY_NOINLINE void run(int64_t chunk) {
    for (int d = 0; d < at_.row_dims; ++d) rows_ *= args_.scalars[at_.row(d)];
    const int64_t cols = args_.scalars[at_.cols()];
    const int64_t rows_per_chunk = args_.scalars[TileLayout::rows_per_chunk()];
    const int64_t cols_per_chunk = args_.scalars[TileLayout::cols_per_chunk()];
    const int64_t column_chunks = std::max<int64_t>(1, ceil_div(cols, cols_per_chunk));
    const int64_t first = chunk / column_chunks * rows_per_chunk;
    const int64_t last = std::min(rows_, first + rows_per_chunk);
    if (first >= last) return;
    all_cols_ = cols;
    whole_rows_ = tile_needs_whole_rows(p_);
    col_begin_ = chunk % column_chunks * cols_per_chunk;
    col_end_ = std::min(cols, col_begin_ + cols_per_chunk);
    if (col_begin_ >= col_end_ && !whole_rows_) return;

    int64_t bytes = 0;  // of the Full registers, for one element
    for (const TileRegister& r : p_.registers) {
      if (r.shape == TileShape::kFull) bytes += size_of(r.type);
    }
    int64_t block = kMaxBlock;
    while (block > kMinBlock && bytes * block > kCachedBytes) block /= 2;
    const int64_t width = col_end_ - col_begin_;
    const int64_t padded = std::max<int64_t>(round_up(width), kTileLanes);
    const bool resident = padded <= block || (whole_rows_ && bytes * padded <= kResidentBytes);
    pitch_ = resident ? padded : block;
    const int64_t tile_rows = resident ? std::clamp<int64_t>(block / padded, 1, kMaxTileRows) : 1;
    place_registers(pitch_ * tile_rows);
    find_shared_inputs();
    seek(first);

    n_rows_ = 1;
    for (int i = 0; i < p_.header->uniforms; ++i) execute(p_.instructions[i]);
    for (int64_t row = first; row < last; row += n_rows_) {
      n_rows_ = std::min(tile_rows, last - row);
      take_offsets();
      if (resident) {
        set_block(col_begin_, width);
        for (size_t i = p_.header->uniforms; i < p_.instructions.size(); ++i) {
          execute(p_.instructions[i]);
        }
      } else if (!whole_rows_) {
        for (int64_t c = col_begin_; c < col_end_; c += block) {
          set_block(c, std::min(block, col_end_ - c));
          for (size_t i = p_.header->uniforms; i < p_.instructions.size(); ++i) {
            execute(p_.instructions[i]);
          }
        }
      } else {
        run_passes(block);
      }
    }
  }

 private:
  static bool reduces(const TileInstruction& in) {
    return tile_op_class(in.op) == TileClass::kReduce;
  }
  TileShape shape_of(const TileInstruction& in) const {
    return p_.registers[in.op == TileOp::kStore ? in.src[0] : in.dst].shape;
  }

  void place_registers(int64_t full_elements) {
    std::byte* full = full_;
    std::byte* row = row_;
    std::byte* uniform = uniform_;
    for (size_t r = 0; r < p_.registers.size(); ++r) {
      const int64_t size = size_of(p_.registers[r].type);
      std::byte*& next = p_.registers[r].shape == TileShape::kFull  ? full
                         : p_.registers[r].shape == TileShape::kRow ? row
                                                                    : uniform;
      own_[r] = next;
      value_[r] = next;
      next += p_.registers[r].shape == TileShape::kFull  ? full_elements * size
              : p_.registers[r].shape == TileShape::kRow ? kMaxTileRows * 8
                                                         : static_cast<int64_t>(kTileLanes) * 8;
    }
  }

  // An input that is no output may be read where it lies; one that is an output may be overwritten
  // meanwhile.
  void find_shared_inputs() {
    for (size_t m = 0; m < p_.maps.size(); ++m) {
      const TileMap& map = p_.maps[m];
      shared_[m] = false;
      memory_[m] = nullptr;
      if (map.operand == TileMap::kVirtual) continue;
      const int operand = map.is_output ? map.operand : p_.header->outputs + map.operand;
      memory_[m] = args_.buffers[operand];
      for (int o = 0; o < p_.header->outputs; ++o) shared_[m] |= args_.buffers[o] == memory_[m];
    }
  }

  // Coordinates of a row, and where each map is there.
  void seek(int64_t row) {
    for (int d = at_.row_dims - 1; d >= 0; --d) {
      const int64_t extent = args_.scalars[at_.row(d)];
      coordinate_[d] = row % extent;
      row /= extent;
    }
    for (int m = 0; m < at_.maps; ++m) {
      uint64_t at = static_cast<uint64_t>(args_.scalars[at_.base(m)]);
      for (int d = 0; d < at_.row_dims; ++d) {
        at += static_cast<uint64_t>(coordinate_[d]) *
              static_cast<uint64_t>(args_.scalars[at_.row_stride(m, d)]);
      }
      here_[m] = at;
    }
  }

  void advance() {
    for (int d = at_.row_dims - 1; d >= 0; --d) {
      const int64_t extent = args_.scalars[at_.row(d)];
      const bool wraps = ++coordinate_[d] == extent;
      for (int m = 0; m < at_.maps; ++m) {
        const uint64_t stride = static_cast<uint64_t>(args_.scalars[at_.row_stride(m, d)]);
        here_[m] += wraps ? stride - stride * static_cast<uint64_t>(extent) : stride;
      }
      if (!wraps) return;
      coordinate_[d] = 0;
    }
  }

  void take_offsets() {
    for (int64_t r = 0; r < n_rows_; ++r) {
      for (int m = 0; m < at_.maps; ++m) offset_[m][r] = static_cast<int64_t>(here_[m]);
      advance();
    }
  }

  void set_block(int64_t col, int64_t n) {
    col_ = col;
    n_cols_ = n;
  }

  int64_t col_stride(int m) const { return args_.scalars[at_.col_stride(m)]; }

  std::byte* address(int m, int64_t index) const {
    return memory_[m] + index * (bits_of(p_.maps[m].dtype) / 8);
  }

  void run_passes(int64_t block) {
    Reduction reductions[kTileMaxRow];
    const int passes = p_.header->passes;
    const size_t begin = p_.header->uniforms;
    for (int pass = 0; pass <= passes; ++pass) {
      int n = 0;
      for (size_t i = begin; i < p_.instructions.size(); ++i) {
        const TileInstruction& in = p_.instructions[i];
        if (reduces(in)) {
          if (in.pass == pass) {
            reduce(in.op, p_.registers[in.dst].type, ReduceStep::kInit, reductions[n++], nullptr, 0,
                   0, nullptr);
          }
        } else if (shape_of(in) != TileShape::kFull && in.pass == pass) {
          execute(in);
        }
      }
      if (pass == passes) return;
      for (int64_t c = 0; c < all_cols_; c += block) {
        set_block(c, std::min(block, all_cols_ - c));
        n = 0;
        for (size_t i = begin; i < p_.instructions.size(); ++i) {
          const TileInstruction& in = p_.instructions[i];
          if (reduces(in)) {
            if (in.pass == pass) {
              reduce(in.op, p_.registers[in.dst].type, ReduceStep::kAdd, reductions[n++],
                     value_[in.src[0]], col_, n_cols_, nullptr);
            }
          } else if (shape_of(in) == TileShape::kFull && ((in.mask >> pass) & 1) != 0) {
            execute(in);
          }
        }
      }
      n = 0;
      for (size_t i = begin; i < p_.instructions.size(); ++i) {
        const TileInstruction& in = p_.instructions[i];
        if (!reduces(in) || in.pass != pass) continue;
        value_[in.dst] = own_[in.dst];
        reduce(in.op, p_.registers[in.dst].type, ReduceStep::kFinish, reductions[n++], nullptr, 0,
               0, own_[in.dst]);
      }
    }
  }

  void execute(const TileInstruction& in) {
    switch (tile_op_class(in.op)) {
      case TileClass::kMemory:
        return execute_memory(in);
      case TileClass::kScalar:
        return execute_scalar(in);
      case TileClass::kReduce: {
        const TileType type = p_.registers[in.dst].type;
        value_[in.dst] = own_[in.dst];
        if (type == TileType::kF32) {
          return reduce_rows_f32(in.op, reinterpret_cast<const float*>(value_[in.src[0]]), pitch_,
                                 n_rows_, n_cols_, reinterpret_cast<float*>(own_[in.dst]));
        }
        Reduction r;
        for (int64_t i = 0; i < n_rows_; ++i) {
          reduce(in.op, type, ReduceStep::kWhole, r, value_[in.src[0]] + i * pitch_ * size_of(type),
                 0, n_cols_, own_[in.dst] + i * size_of(type));
        }
        return;
      }
      default:
        return execute_pointwise(in);
    }
  }

  void execute_pointwise(const TileInstruction& in) {
    const int sources = tile_op_sources(in.op);
    const TileRegister dst = p_.registers[in.dst];
    const TileType type = p_.registers[in.src[in.op == TileOp::kSelect ? 1 : 0]].type;
    OpArgs o = {};
    o.imm = in.imm;
    o.dst = own_[in.dst];
    o.rows = 1;
    bool spread = false;  // whether a Row value must be spread over the columns
    for (int s = 0; s < sources; ++s) {
      const TileRegister& src = p_.registers[in.src[s]];
      o.src[s] = value_[in.src[s]];
      o.step[s] = src.shape == dst.shape && src.shape != TileShape::kUniform ? 1 : 0;
      spread |= src.shape == TileShape::kRow && dst.shape == TileShape::kFull;
    }
    if (dst.shape == TileShape::kUniform) {
      o.n = kTileLanes;
    } else if (dst.shape == TileShape::kRow) {
      o.n = static_cast<size_t>(round_up(n_rows_));
    } else if (!spread) {
      o.n = static_cast<size_t>(n_rows_ == 1 ? round_up(n_cols_) : n_rows_ * pitch_);
    } else {
      // Row by row; a Row source is 16 times the same value for each row.
      o.n = static_cast<size_t>(round_up(n_cols_));
      o.rows = static_cast<size_t>(n_rows_);
      o.dst_row_step = static_cast<size_t>(pitch_);
      for (int s = 0; s < sources; ++s) {
        const TileRegister& src = p_.registers[in.src[s]];
        if (src.shape == TileShape::kFull) o.row_step[s] = static_cast<size_t>(pitch_);
        if (src.shape != TileShape::kRow) continue;
        o.row_step[s] = kTileLanes;
        o.src[s] = spread_[s];
        const int64_t size = size_of(src.type);
        for (int64_t r = 0; r < n_rows_; ++r) {
          spread_value(value_[in.src[s]] + r * size, size,
                       spread_[s] + r * static_cast<int64_t>(kTileLanes) * size);
        }
      }
    }
    run_op(in.op, type, dst.type, o);
    value_[in.dst] = own_[in.dst];
  }

  static void spread_value(const std::byte* from, int64_t size, std::byte* lanes) {
    if (size == 4) {
      int32_t value;
      std::memcpy(&value, from, sizeof(value));
      std::fill_n(reinterpret_cast<int32_t*>(lanes), kTileLanes, value);
    } else {
      int64_t value;
      std::memcpy(&value, from, sizeof(value));
      std::fill_n(reinterpret_cast<int64_t*>(lanes), kTileLanes, value);
    }
  }

  void execute_scalar(const TileInstruction& in) {
    const TileType type = p_.registers[in.dst].type;
    int64_t bits = in.imm;
    if (in.op == TileOp::kScalar) bits = args_.scalars[at_.user_scalar(static_cast<int>(in.imm))];
    double number = std::bit_cast<double>(bits);
    if (in.op == TileOp::kColumns) {
      bits = all_cols_;
      number = static_cast<double>(all_cols_);
    }
    alignas(8) std::byte value[8];
    const auto put = [&](auto v) { std::memcpy(value, &v, sizeof(v)); };
    switch (type) {
      case TileType::kF32:
        put(static_cast<float>(number));
        break;
      case TileType::kF64:
        put(number);
        break;
      case TileType::kI32:
        put(static_cast<int32_t>(bits));
        break;
      case TileType::kI64:
        put(bits);
        break;
      case TileType::kBool:
        put(-int32_t{bits != 0});
        break;
    }
    spread_value(value, size_of(type), own_[in.dst]);
  }

  void execute_memory(const TileInstruction& in) {
    switch (in.op) {
      case TileOp::kLoad:
        return execute_load(in);
      case TileOp::kStore:
        return execute_store(in);
      case TileOp::kGather:
        return execute_gather(in);
      default:
        return execute_index(in);
    }
  }

  // Whether the rows of the tile follow one another in memory as they do in registers.
  bool joined(int m) const {
    if (n_rows_ == 1) return true;
    if (n_cols_ != pitch_) return false;
    for (int64_t r = 1; r < n_rows_; ++r) {
      if (offset_[m][r] - offset_[m][r - 1] != pitch_) return false;
    }
    return true;
  }

  void execute_load(const TileInstruction& in) {
    const int m = in.map;
    const DType dtype = p_.maps[m].dtype;
    const TileRegister dst = p_.registers[in.dst];
    const int64_t size = size_of(dst.type);
    value_[in.dst] = own_[in.dst];
    if (dst.shape == TileShape::kUniform) {
      alignas(8) std::byte value[8];
      load_elements(dtype, address(m, args_.scalars[at_.base(m)]), 1, value, 1);
      spread_value(value, size, own_[in.dst]);
      return;
    }
    if (dst.shape == TileShape::kRow) {
      for (int64_t r = 0; r < n_rows_; ++r) {
        load_elements(dtype, address(m, offset_[m][r]), 1, own_[in.dst] + r * size, 1);
      }
      return;
    }
    if (n_cols_ == 0) return;  // the operand may be absent
    const int64_t stride = col_stride(m);
    if (stride == 1) {
      if (joined(m)) {
        const int64_t n = n_rows_ * n_cols_;
        const std::byte* from = address(m, offset_[m][0] + col_);
        // Operations run over multiples of 16 elements: what lies in place must have that many.
        if (!shared_[m] && n % static_cast<int64_t>(kTileLanes) == 0 && dtype != DType::kBool &&
            bits_of(dtype) / 8 == size) {
          value_[in.dst] = from;
        } else {
          load_elements(dtype, from, 1, own_[in.dst], n);
        }
        return;
      }
    }
    for (int64_t r = 0; r < n_rows_; ++r) {
      load_elements(dtype, address(m, offset_[m][r] + col_ * stride), stride,
                    own_[in.dst] + r * pitch_ * size, n_cols_);
    }
  }

  void execute_store(const TileInstruction& in) {
    const int m = in.map;
    const DType dtype = p_.maps[m].dtype;
    const TileRegister src = p_.registers[in.src[0]];
    const int64_t size = size_of(src.type);
    const std::byte* from = value_[in.src[0]];
    if (src.shape != TileShape::kFull) {
      for (int64_t r = 0; r < n_rows_; ++r) {
        store_elements(dtype, src.shape == TileShape::kRow ? from + r * size : from,
                       address(m, offset_[m][r]), 1, 1);
      }
      return;
    }
    if (n_cols_ == 0) return;
    const int64_t stride = col_stride(m);
    if (stride == 1 && joined(m)) {
      store_elements(dtype, from, address(m, offset_[m][0] + col_), 1, n_rows_ * n_cols_);
      return;
    }
    for (int64_t r = 0; r < n_rows_; ++r) {
      store_elements(dtype, from + r * pitch_ * size, address(m, offset_[m][r] + col_ * stride),
                     stride, n_cols_);
    }
  }

  void execute_gather(const TileInstruction& in) {
    const int m = in.map;
    const TileRegister dst = p_.registers[in.dst];
    const TileRegister index = p_.registers[in.src[0]];
    const int64_t limit = args_.scalars[at_.user_scalar(static_cast<int>(in.imm))];
    const int64_t size = size_of(dst.type);
    const bool full = dst.shape == TileShape::kFull;
    value_[in.dst] = own_[in.dst];
    for (int64_t r = 0; r < n_rows_; ++r) {
      for (int64_t c = 0; c < (full ? n_cols_ : 1); ++c) {
        const int64_t element = full ? r * pitch_ + c : r;
        const int64_t source = index.shape == TileShape::kFull  ? element
                               : index.shape == TileShape::kRow ? r
                                                                : 0;
        const std::byte* i = value_[in.src[0]] + source * size_of(index.type);
        const int64_t want = index.type == TileType::kI64
                                 ? *reinterpret_cast<const int64_t*>(i)
                                 : int64_t{*reinterpret_cast<const int32_t*>(i)};
        std::byte* to = own_[in.dst] + element * size;
        if (want < 0 || want >= limit) {
          args_.fault->report(runtime::Fault::kIndexOutOfRange, want, limit);
          std::memset(to, 0, static_cast<size_t>(size));
          continue;
        }
        load_elements(p_.maps[m].dtype, address(m, offset_[m][r] + want * col_stride(m)), 1, to, 1);
      }
    }
  }

  // iota and random numbers.
  void execute_index(const TileInstruction& in) {
    const int m = in.map;
    const TileRegister dst = p_.registers[in.dst];
    const bool full = dst.shape == TileShape::kFull;
    const int64_t stride = col_stride(m);
    value_[in.dst] = own_[in.dst];
    for (int64_t r = 0; r < n_rows_; ++r) {
      std::byte* to = own_[in.dst] + (full ? r * pitch_ : r) * size_of(dst.type);
      const int64_t n = full ? n_cols_ : 1;
      const int64_t start = static_cast<int64_t>(
          static_cast<uint64_t>(offset_[m][r]) +
          (full ? static_cast<uint64_t>(col_) * static_cast<uint64_t>(stride) : 0));
      if (in.op == TileOp::kIota) {
        switch (dst.type) {
          case TileType::kF32:
            iota_elements<float>(start, stride, n, to);
            break;
          case TileType::kF64:
            iota_elements<double>(start, stride, n, to);
            break;
          case TileType::kI32:
            iota_elements<int32_t>(start, stride, n, to);
            break;
          default:
            iota_elements<int64_t>(start, stride, n, to);
        }
      } else {
        const auto word = [&](int s) {
          return *reinterpret_cast<const uint64_t*>(value_[in.src[s]]);
        };
        random_elements(word(0), word(1), start, stride, n, in.op == TileOp::kUniform, to);
      }
    }
  }

  const runtime::KernelArgs& args_;
  const TileView& p_;
  const TileLayout at_;
  int64_t rows_ = 1;
  int64_t all_cols_ = 0;
  int64_t col_begin_ = 0, col_end_ = 0;  // of the chunk
  int64_t pitch_ = 0;                    // elements from a row of a tile to the next
  int64_t n_rows_ = 0;                   // of the tile
  int64_t col_ = 0, n_cols_ = 0;         // of the block
  bool whole_rows_ = false;

  std::byte* own_[256];          // where a register's values go
  const std::byte* value_[256];  // where they are: there, or in the operand they were loaded from
  std::byte* memory_[kTileMaxMaps];
  bool shared_[kTileMaxMaps];
  int64_t coordinate_[kTileMaxRowDims];
  uint64_t here_[kTileMaxMaps];
  int64_t offset_[kTileMaxMaps][kMaxTileRows];
  alignas(64) std::byte spread_[3][kMaxTileRows * kTileLanes * 8];
  alignas(64) std::byte uniform_[kTileMaxUniform * kTileLanes * 8];
  alignas(64) std::byte row_[kTileMaxRow * kMaxTileRows * 8];
  alignas(64) std::byte full_[kResidentBytes];
};
// With run_passes() and the frames around it.
static_assert(sizeof(TileRun) + kTileMaxRow * sizeof(Reduction) + 16384 <=
              runtime::kKernelStackBytes);

void run_chunk(const runtime::KernelArgs& args, const TileView& program, int64_t chunk) {
  TileRun(args, program).run(chunk);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace modellib::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace modellib::cpu {

HWY_EXPORT(run_chunk);

void run_tile_chunk(const runtime::KernelArgs& args, int64_t chunk) {
  const TileView program = view_tile_program(args.data);
  HWY_DYNAMIC_DISPATCH(run_chunk)(args, program, chunk);
}

}  // namespace modellib::cpu
#endif
