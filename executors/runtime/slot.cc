#include <algorithm>

#include "absl/strings/str_cat.h"
#include "modellib/executors/runtime/program_image.h"

namespace modellib::runtime {
namespace {

absl::Status overflow() {
  return absl::OutOfRangeError("an extent computed from the inputs' overflows");
}

}  // namespace

absl::StatusOr<int64_t> evaluate(const SlotImage& slot, absl::Span<const int64_t> symbols) {
  // The loader has checked that the stack neither runs over nor dry, and that symbols exist.
  int64_t stack[kMaxDimStack];
  int depth = 0;
  for (const DimInstruction& instruction : slot.code) {
    if (instruction.code == DimOpcode::kConst) {
      stack[depth++] = instruction.value;
      continue;
    }
    if (instruction.code == DimOpcode::kSymbol) {
      stack[depth++] = symbols[static_cast<size_t>(instruction.value)];
      continue;
    }
    const int64_t b = stack[--depth];
    int64_t& a = stack[depth - 1];
    switch (instruction.code) {
      case DimOpcode::kAdd:
        if (__builtin_add_overflow(a, b, &a)) return overflow();
        break;
      case DimOpcode::kSub:
        if (__builtin_sub_overflow(a, b, &a)) return overflow();
        break;
      case DimOpcode::kMul:
        if (__builtin_mul_overflow(a, b, &a)) return overflow();
        break;
      case DimOpcode::kFloorDiv:
      case DimOpcode::kMod: {
        // Divisors are positive by the definition of dims; rounding is towards minus infinity.
        if (b <= 0) return absl::OutOfRangeError(absl::StrCat("division of an extent by ", b));
        const int64_t rest = a % b;
        a = instruction.code == DimOpcode::kFloorDiv ? a / b - (rest < 0 ? 1 : 0)
                                                     : rest + (rest < 0 ? b : 0);
        break;
      }
      case DimOpcode::kMin:
        a = std::min(a, b);
        break;
      case DimOpcode::kMax:
        a = std::max(a, b);
        break;
      case DimOpcode::kConst:
      case DimOpcode::kSymbol:
        break;
    }
  }
  if (stack[0] < slot.min || stack[0] > slot.max) {
    return absl::OutOfRangeError(absl::StrCat("an extent computed from the inputs' is ", stack[0],
                                              ", but the plan holds for ", slot.min, " to ",
                                              slot.max));
  }
  return stack[0];
}

}  // namespace modellib::runtime
