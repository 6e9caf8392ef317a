#include "modellib/executors/cpu/kernels/matmul_kernels.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/executors/cpu/kernels/matmul.h"
#include "modellib/executors/cpu/kernels/matmul_params.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cpu {
namespace {

using runtime::StepView;

// Scalars in a form that arithmetic on them, at run time or here, cannot overflow unnoticed.
constexpr int64_t kMostExtent = int64_t{1} << 40;

// Saturating arithmetic on counts: what does not fit is larger than any buffer.
constexpr uint64_t kTooMany = ~uint64_t{0};
uint64_t times(uint64_t a, uint64_t b) {
  uint64_t result;
  return __builtin_mul_overflow(a, b, &result) ? kTooMany : result;
}
uint64_t plus(uint64_t a, uint64_t b) {
  uint64_t result;
  return __builtin_add_overflow(a, b, &result) ? kTooMany : result;
}

// Floats from the first to behind the last that an array of these {extent, stride} touches; 0 if
// empty.
uint64_t span_of(std::initializer_list<std::pair<int64_t, int64_t>> dims) {
  uint64_t last = 0;
  for (const auto& [extent, stride] : dims) {
    if (extent == 0) return 0;
    last = plus(last, times(static_cast<uint64_t>(extent - 1), static_cast<uint64_t>(stride)));
  }
  return plus(last, 1);
}

absl::Status check_bytes(const StepView& step, const char* operand, uint64_t floats,
                         uint64_t bytes) {
  if (floats <= bytes / 4) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("step ", step.name, ": operand ", operand, " has ",
                                                 bytes, " bytes, its extents and strides reach ",
                                                 times(floats, 4)));
}

absl::Status check_shape_of_step(const StepView& step, int scalars, size_t outputs, size_t inputs) {
  if (step.scalars.size() != static_cast<size_t>(scalars) || step.output_bytes.size() != outputs ||
      step.input_bytes.size() != inputs || step.aliases.size() != outputs || !step.data.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "step ", step.name, ": expected ", scalars, " scalars, ", outputs, " output, ", inputs,
        " inputs and no data, got ", step.scalars.size(), ", ", step.output_bytes.size(), ", ",
        step.input_bytes.size(), " and ", step.data.size(), " bytes"));
  }
  return absl::OkStatus();
}

// Reads the scalars' maxima into `most`, having checked that all are counts that cannot overflow
// and that those from `first_static` on do not vary. `alpha` (or -1) may have any bits.
absl::Status read_maxima(const StepView& step, int first_static, int alpha, int64_t* most) {
  for (int i = 0; i < static_cast<int>(step.scalars.size()); ++i) {
    const StepView::Range& range = step.scalars[i];
    if (i >= first_static && range.min != range.max) {
      return absl::InvalidArgumentError(absl::StrCat("step ", step.name, ": scalar ", i,
                                                     " must not vary, it has ", range.min, "..",
                                                     range.max));
    }
    if (i != alpha && (range.min < 0 || range.min > range.max || range.max > kMostExtent)) {
      return absl::InvalidArgumentError(absl::StrCat("step ", step.name, ": scalar ", i, " is ",
                                                     range.min, "..", range.max, ", expected 0..",
                                                     kMostExtent));
    }
    most[i] = range.max;
  }
  return absl::OkStatus();
}

template <class Scalars>
int64_t least(const StepView& step, int64_t Scalars::*field) {
  return step.scalars[static_cast<size_t>(field_index(field))].min;
}

absl::Status check_choice(const StepView& step, const char* what, int64_t value, int64_t count) {
  if (value < count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("step ", step.name, ": ", what, " is ", value, ", expected 0..", count - 1));
}

// The plan must have the chunks that these factors, at their least, ask for. How many there are at
// the maxima is not known here: factors that vary may do so together, and the plan's bound of their
// product may be less than that of their maxima, or more. Superfluous chunks do nothing.
absl::Status check_chunks(const StepView& step, std::initializer_list<int64_t> factors) {
  uint64_t chunks = 1;
  bool empty = false;
  for (const int64_t factor : factors) {
    empty = empty || factor == 0;
    chunks = times(chunks, static_cast<uint64_t>(factor));
  }
  if (empty) chunks = 0;
  if (step.chunks.min < 0 || step.chunks.max < step.chunks.min ||
      static_cast<uint64_t>(step.chunks.max) < chunks) {
    return absl::InvalidArgumentError(absl::StrCat("step ", step.name, ": ", step.chunks.min, "..",
                                                   step.chunks.max, " chunks, its scalars ask for ",
                                                   chunks));
  }
  return absl::OkStatus();
}

absl::Status check_grain(const StepView& step, const char* what, int64_t grain, int64_t multiple) {
  if (grain >= 1 && grain % multiple == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("step ", step.name, ": ", what, " is ", grain,
                                                 ", expected a positive multiple of ", multiple));
}

int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

absl::Status validate_matmul(const StepView& step) {
  MODELLIB_RETURN_IF_ERROR(
      check_shape_of_step(step, kMatmulScalarCount, kMatmulOutputs, kMatmulInputs));
  MatmulScalars s;
  int64_t most[kMatmulScalarCount];
  MODELLIB_RETURN_IF_ERROR(read_maxima(step, field_index(&MatmulScalars::transpose_a),
                                       field_index(&MatmulScalars::alpha), most));
  std::memcpy(&s, most, sizeof(s));
  MODELLIB_RETURN_IF_ERROR(check_choice(step, "transpose_a", s.transpose_a, 2));
  MODELLIB_RETURN_IF_ERROR(check_choice(step, "b_layout", s.b_layout, kBLayoutCount));
  MODELLIB_RETURN_IF_ERROR(check_choice(step, "bias_axis", s.bias_axis, kBiasAxisCount));
  MODELLIB_RETURN_IF_ERROR(check_choice(step, "residual", s.residual, kResidualAtCount));
  MODELLIB_RETURN_IF_ERROR(check_choice(step, "activation", s.activation, kActivationCount));
  MODELLIB_RETURN_IF_ERROR(check_grain(step, "m_grain", s.m_grain, 1));
  MODELLIB_RETURN_IF_ERROR(check_grain(step, "n_grain", s.n_grain, kPanel));
  MODELLIB_RETURN_IF_ERROR(
      check_chunks(step, {least(step, &MatmulScalars::batch0), least(step, &MatmulScalars::batch1),
                          ceil_div(least(step, &MatmulScalars::m), s.m_grain),
                          ceil_div(least(step, &MatmulScalars::n), s.n_grain)}));

  // An empty C reads nothing.
  const bool empty = s.batch0 == 0 || s.batch1 == 0 || s.m == 0 || s.n == 0;
  const auto need = [&](uint64_t floats) { return empty ? 0 : floats; };
  const bool transpose_a = s.transpose_a != 0;
  MODELLIB_RETURN_IF_ERROR(check_bytes(step, "A",
                                       need(span_of({{s.batch0, s.a_batch0},
                                                     {s.batch1, s.a_batch1},
                                                     {transpose_a ? s.k : s.m, s.lda},
                                                     {transpose_a ? s.m : s.k, 1}})),
                                       step.input_bytes[0]));
  const BLayout layout = static_cast<BLayout>(s.b_layout);
  uint64_t b_floats = 0;
  if (layout == BLayout::kPacked) {
    // Where k or n varies the blocks lie elsewhere, but never beyond those of the largest matrix.
    const uint64_t matrix =
        times(static_cast<uint64_t>(s.k), static_cast<uint64_t>(padded_columns(s.n)));
    b_floats = matrix == 0
                   ? 0
                   : plus(span_of({{s.batch0, s.b_batch0}, {s.batch1, s.b_batch1}}), matrix - 1);
    if (s.ldb != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("step ", step.name, ": ldb is ", s.ldb, " with a packed B, expected 0"));
    }
  } else {
    const bool transposed = layout == BLayout::kTransposed;
    b_floats = span_of({{s.batch0, s.b_batch0},
                        {s.batch1, s.b_batch1},
                        {transposed ? s.n : s.k, s.ldb},
                        {transposed ? s.k : s.n, 1}});
  }
  MODELLIB_RETURN_IF_ERROR(check_bytes(step, "B", need(b_floats), step.input_bytes[1]));
  // Rows of A and of B may be one, though not both, and none of C: memory bounds the work.
  MODELLIB_RETURN_IF_ERROR(check_bytes(step, "A or B", need(static_cast<uint64_t>(s.k)),
                                       std::max(step.input_bytes[0], step.input_bytes[1])));
  MODELLIB_RETURN_IF_ERROR(
      check_bytes(step, "C",
                  times(times(static_cast<uint64_t>(s.batch0), static_cast<uint64_t>(s.batch1)),
                        times(static_cast<uint64_t>(s.m), static_cast<uint64_t>(s.n))),
                  step.output_bytes[0]));
  const BiasAxis axis = static_cast<BiasAxis>(s.bias_axis);
  const int64_t bias = axis == BiasAxis::kN ? s.n : axis == BiasAxis::kM ? s.m : 0;
  MODELLIB_RETURN_IF_ERROR(
      check_bytes(step, "bias", need(static_cast<uint64_t>(bias)), step.input_bytes[2]));
  if (s.residual != 0) {
    MODELLIB_RETURN_IF_ERROR(check_bytes(step, "residual",
                                         need(span_of({{s.batch0, s.residual_batch0},
                                                       {s.batch1, s.residual_batch1},
                                                       {s.m, s.ld_residual},
                                                       {s.n, 1}})),
                                         step.input_bytes[3]));
  }
  MODELLIB_RETURN_IF_ERROR(check_bytes(
      step, "C", span_of({{s.batch0, s.c_batch0}, {s.batch1, s.c_batch1}, {s.m, s.ldc}, {s.n, 1}}),
      step.output_bytes[0]));
  if (step.aliases[0] != -1 &&
      (step.aliases[0] != 3 || s.residual != static_cast<int64_t>(ResidualAt::kBeforeActivation) ||
       s.ldc != s.ld_residual || s.c_batch0 != s.residual_batch0 ||
       s.c_batch1 != s.residual_batch1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", step.name, ": C shares memory with input ", step.aliases[0],
                     "; only a residual of the same strides, before the activation, may be "
                     "accumulated into"));
  }
  return absl::OkStatus();
}

absl::Status validate_pack_b(const StepView& step) {
  MODELLIB_RETURN_IF_ERROR(check_shape_of_step(step, kPackBScalarCount, 1, 1));
  PackBScalars s;
  int64_t most[kPackBScalarCount];
  MODELLIB_RETURN_IF_ERROR(read_maxima(step, field_index(&PackBScalars::transposed), -1, most));
  std::memcpy(&s, most, sizeof(s));
  MODELLIB_RETURN_IF_ERROR(check_choice(step, "transposed", s.transposed, 2));
  MODELLIB_RETURN_IF_ERROR(check_grain(step, "n_grain", s.n_grain, kPanel));
  MODELLIB_RETURN_IF_ERROR(
      check_chunks(step, {least(step, &PackBScalars::batch0), least(step, &PackBScalars::batch1),
                          ceil_div(least(step, &PackBScalars::n), s.n_grain)}));
  const bool transposed = s.transposed != 0;
  MODELLIB_RETURN_IF_ERROR(check_bytes(step, "B",
                                       span_of({{s.batch0, s.b_batch0},
                                                {s.batch1, s.b_batch1},
                                                {transposed ? s.n : s.k, s.ldb},
                                                {transposed ? s.k : s.n, 1}}),
                                       step.input_bytes[0]));
  const uint64_t matrix =
      times(static_cast<uint64_t>(s.k), static_cast<uint64_t>(padded_columns(s.n)));
  const uint64_t matrices = span_of({{s.batch0, s.packed_batch0}, {s.batch1, s.packed_batch1}});
  MODELLIB_RETURN_IF_ERROR(
      check_bytes(step, "packed B", matrix == 0 || matrices == 0 ? 0 : plus(matrices, matrix - 1),
                  step.output_bytes[0]));
  // No two matrices lie in one place: memory bounds the work, but not that of empty ones.
  const uint64_t batches = times(static_cast<uint64_t>(s.batch0), static_cast<uint64_t>(s.batch1));
  MODELLIB_RETURN_IF_ERROR(
      check_bytes(step, "packed B", times(batches, matrix), step.output_bytes[0]));
  const uint64_t columns = times(batches, static_cast<uint64_t>(s.n));
  if (columns > static_cast<uint64_t>(kMostExtent)) {
    return absl::InvalidArgumentError(absl::StrCat("step ", step.name, ": its matrices have ",
                                                   columns, " columns, expected 0..", kMostExtent));
  }
  if (step.aliases[0] != -1) {
    return absl::InvalidArgumentError(absl::StrCat("step ", step.name, ": cannot pack B in place"));
  }
  return absl::OkStatus();
}

void run_matmul(const runtime::KernelArgs& args, int64_t chunk) {
  MatmulScalars s;
  std::memcpy(&s, args.scalars, sizeof(s));
  const auto f32 = [&](int i) { return reinterpret_cast<float*>(args.buffers[i]); };
  matmul_chunk(s, f32(1), f32(2), f32(3), f32(4), f32(0), chunk);
}

void run_pack_b(const runtime::KernelArgs& args, int64_t chunk) {
  PackBScalars s;
  std::memcpy(&s, args.scalars, sizeof(s));
  pack_b_chunk(s, reinterpret_cast<const float*>(args.buffers[1]),
               reinterpret_cast<float*>(args.buffers[0]), chunk);
}

}  // namespace

const runtime::Kernel kMatmulF32 = {
    .name = "cpu.matmul_f32",
    .validate = &validate_matmul,
    .run = &run_matmul,
};

const runtime::Kernel kPackBF32 = {
    .name = "cpu.pack_b_f32",
    .validate = &validate_pack_b,
    .run = &run_pack_b,
};

}  // namespace modellib::cpu
