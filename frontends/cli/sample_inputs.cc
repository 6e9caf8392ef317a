#include "modellib/frontends/cli/sample_inputs.h"

#include <cstddef>

#include "modellib/executors/runtime/session.h"
#include "modellib/graph/dtype.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

// A linear congruential generator (Knuth, volume 2, 3.3.4); its upper 24 bits serve.
class Numbers {
 public:
  explicit Numbers(uint32_t seed) : state_(seed) {}
  uint32_t bits() {
    state_ = state_ * 1664525u + 1013904223u;
    return state_ >> 8;
  }

 private:
  uint32_t state_;
};

void fill(const SampleOptions& options, Numbers& numbers, Tensor& tensor) {
  const bool floats = is_floating(tensor.dtype());
  if (!floats && options.largest_integer == 0) return;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const uint32_t bits = numbers.bits();
    if (floats) {
      tensor.set(i, static_cast<double>(bits) / (1 << 24));
    } else {
      const int64_t choices = tensor.dtype() == DType::kBool ? 2 : options.largest_integer + 1;
      tensor.set(i, static_cast<double>(bits % choices));
    }
  }
}

}  // namespace

std::vector<int64_t> symbol_values(const runtime::EntryInfo& entry, const DimRanges& dims) {
  std::vector<int64_t> values;
  for (const runtime::SymbolInfo& symbol : entry.symbols) {
    const auto asked = dims.find(symbol.name);
    values.push_back(asked == dims.end() ? symbol.max : asked->second.max);
  }
  return values;
}

absl::StatusOr<std::vector<Tensor>> sample_inputs(const runtime::Executable& executable,
                                                  runtime::EntryId entry, const DimRanges& dims,
                                                  const SampleOptions& options) {
  const runtime::EntryInfo& info = executable.info(entry);
  const std::vector<int64_t> symbols = symbol_values(info, dims);
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < info.inputs.size(); ++i) {
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<int64_t> extents,
                              executable.input_shape(entry, static_cast<int>(i), symbols));
    MODELLIB_ASSIGN_OR_RETURN(Tensor tensor, Tensor::zeros(info.inputs[i].dtype, extents));
    Numbers numbers(options.seed + static_cast<uint32_t>(i));
    fill(options, numbers, tensor);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

absl::Status bind_inputs(runtime::Session& session, runtime::EntryId entry,
                         const std::vector<Tensor>& inputs, const DimRanges& dims) {
  const runtime::EntryInfo& info = session.executable().info(entry);
  std::vector<bool> bound(info.symbols.size(), false);
  for (size_t i = 0; i < info.inputs.size(); ++i) {
    for (const int symbol : info.inputs[i].symbols) {
      if (symbol >= 0) bound[static_cast<size_t>(symbol)] = true;
    }
    MODELLIB_RETURN_IF_ERROR(session.bind_input(entry, static_cast<int>(i), inputs[i]));
  }
  const std::vector<int64_t> values = symbol_values(info, dims);
  for (size_t s = 0; s < info.symbols.size(); ++s) {
    // What begins with "$" the session binds itself.
    if (bound[s] || info.symbols[s].name[0] == '$') continue;
    MODELLIB_RETURN_IF_ERROR(session.set_symbol(entry, static_cast<int>(s), values[s]));
  }
  return absl::OkStatus();
}

}  // namespace modellib::cli
