// From the FlatBuffer of a plan to a ProgramImage. Nothing that stands in the plan is believed:
// indices, ranges, strides and the shape of control flow are checked here and in the loaders of
// entries and steps, operands by each kernel's own `validate`. Sizes in the plan only ever bound
// what is allocated by what is there, and each part of its metadata is there once: see PlanFile.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/executors/runtime/entry_loader.h"
#include "modellib/executors/runtime/plan_checks.h"
#include "modellib/executors/runtime/program_image.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kVariableAlignment = 64;

uint64_t round_up(uint64_t n, uint64_t alignment) {
  return (n + alignment - 1) / alignment * alignment;
}

absl::Status check_abi(const fb::Plan& plan) {
  if (plan.kernel_abi() == kKernelAbi) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the plan was compiled for version ", plan.kernel_abi(),
                   " of the kernels, this library has version ", kKernelAbi, " (compiled by ",
                   text(plan.producer()), "); compile the model again"));
}

absl::Status check_features(const fb::Plan& plan, const LoadOptions& options) {
  std::vector<std::string> missing;
  for (uint32_t i = 0; i < size_of(plan.features()); ++i) {
    std::string feature = plan.features()->Get(i)->str();
    if (std::find(options.features.begin(), options.features.end(), feature) ==
        options.features.end()) {
      missing.push_back(std::move(feature));
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the plan needs features that this machine lacks: ", absl::StrJoin(missing, ", "),
      " (compiled by ", text(plan.producer()), " for ", text(plan.device()), ")"));
}

absl::Status check_kernels(const fb::Plan& plan, const KernelTable& kernels) {
  static constexpr absl::string_view kOwn[] = {
      "control.cond",   "control.scan",    "control.while",      "comm.all_reduce",
      "comm.broadcast", "comm.all_gather", "comm.reduce_scatter"};
  std::vector<std::string> missing;
  for (uint32_t i = 0; i < size_of(plan.kernels()); ++i) {
    std::string name = plan.kernels()->Get(i)->str();
    const bool own = std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn);
    if (!own && kernels.find(name) == nullptr) missing.push_back(std::move(name));
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the plan needs ", missing.size(),
                   " kernels that are not linked: ", absl::StrJoin(missing, ", ")));
}

absl::Status load_variables(const fb::Plan& plan, ProgramImage& program) {
  std::set<std::string> names;
  for (uint32_t i = 0; i < size_of(plan.variables()); ++i) {
    const fb::Variable& v = *plan.variables()->Get(i);
    VariableInfo info{
        text(v.name()), static_cast<VariableKind>(v.kind()), DType::kInvalid, {}, v.bytes()};
    if (v.kind() > fb::VariableKind::Shard) return bad("variable '", info.name, "' has no kind");
    if (!names.insert(info.name).second) return bad("two variables are named '", info.name, "'");
    const std::string what = absl::StrCat("variable '", info.name, "'");
    MODELLIB_ASSIGN_OR_RETURN(info.dtype, checked_dtype(v.dtype(), what));
    for (uint32_t d = 0; d < size_of(v.shape()); ++d) info.shape.push_back(v.shape()->Get(d));
    MODELLIB_ASSIGN_OR_RETURN(const uint64_t bytes, checked_bytes(info.dtype, info.shape, what));
    if (bytes != info.bytes) {
      return bad("variable '", info.name, "' has ", info.bytes, " bytes, but its shape [",
                 absl::StrJoin(info.shape, ","), "] has ", bytes);
    }
    program.variables.push_back(std::move(info));
    program.variable_images.push_back({v.segment() < 0 ? -1 : v.segment(), v.offset(), 0});
  }
  return absl::OkStatus();
}

// Arenas of all entries share memory, index by index: a session runs one entry at a time. Session
// variables follow. All in all it is a page at least, so that a caller may always bring it.
absl::Status lay_out_session(const fb::Plan& plan, ProgramImage& program) {
  std::vector<uint64_t> sizes;
  for (uint32_t e = 0; e < size_of(plan.entries()); ++e) {
    const auto* arenas = plan.entries()->Get(e)->arenas();
    for (uint32_t i = 0; i < size_of(arenas); ++i) {
      const fb::Arena& arena = *arenas->Get(i);
      const uint64_t alignment = arena.alignment();
      if (alignment > kPage || (alignment & (alignment - 1)) != 0 || arena.bytes() > kMaxBytes) {
        return bad("arena ", i, " of ", arena.bytes(), " bytes is aligned to ", alignment);
      }
      if (i >= sizes.size()) sizes.resize(i + 1, 0);
      sizes[i] = std::max(sizes[i], arena.bytes());
    }
  }
  uint64_t total = 0;
  const auto add = [&](uint64_t bytes, uint64_t alignment) {
    const uint64_t offset = round_up(total, alignment);
    total = offset + bytes;
    return offset;
  };
  for (uint64_t size : sizes) {
    program.arena_offsets.push_back(add(size, kPage));
    if (total > kMaxBytes) return bad("its arenas take more than ", kMaxBytes, " bytes");
  }
  for (size_t i = 0; i < program.variables.size(); ++i) {
    if (program.variables[i].kind != VariableKind::kSession) continue;
    program.variable_images[i].session_offset = add(program.variables[i].bytes, kVariableAlignment);
    if (total > kMaxBytes) return bad("its variables take more than ", kMaxBytes, " bytes");
  }
  program.session_bytes = std::max(round_up(total, kPage), kPage);
  return absl::OkStatus();
}

absl::Status check_constants(const fb::Plan& plan, const ProgramImage& program) {
  for (uint32_t i = 0; i < size_of(plan.constants()); ++i) {
    const fb::Constant& c = *plan.constants()->Get(i);
    const std::byte* data = program.file->segment(c.segment()).bytes.data() + c.offset();
    if (c.bytes() != 0 && reinterpret_cast<uintptr_t>(data) % kVariableAlignment != 0) {
      return bad("constant ", i, " '", text(c.name()), "' is not aligned to ", kVariableAlignment,
                 " bytes");
    }
  }
  return absl::OkStatus();
}

}  // namespace

const std::byte* ProgramImage::initial_value(size_t variable) const {
  const VariableImage& v = variable_images[variable];
  if (v.segment < 0) return nullptr;
  return file->segment(static_cast<size_t>(v.segment)).bytes.data() + v.offset;
}

absl::StatusOr<std::unique_ptr<const ProgramImage>> load_program(
    std::shared_ptr<const PlanFile> file, const KernelTable& kernels, const LoadOptions& options) {
  if (file == nullptr) return absl::InvalidArgumentError("no plan file");
  const fb::Plan& plan = file->plan();
  MODELLIB_RETURN_IF_ERROR(check_abi(plan));
  MODELLIB_RETURN_IF_ERROR(check_features(plan, options));
  MODELLIB_RETURN_IF_ERROR(check_kernels(plan, kernels));
  auto program = std::make_unique<ProgramImage>();
  program->untrusted = !file->trusted();
  program->file = std::move(file);
  MODELLIB_RETURN_IF_ERROR(check_constants(plan, *program));
  MODELLIB_RETURN_IF_ERROR(load_variables(plan, *program));
  MODELLIB_RETURN_IF_ERROR(lay_out_session(plan, *program));
  program->entries.resize(size_of(plan.entries()));
  std::set<std::string> names;
  for (uint32_t i = 0; i < program->entries.size(); ++i) {
    MODELLIB_RETURN_IF_ERROR(
        load_entry(plan, *plan.entries()->Get(i), kernels, *program, program->entries[i]));
    if (!names.insert(program->entries[i].info.name).second) {
      return bad("two entries are named '", program->entries[i].info.name, "'");
    }
  }
  return program;
}

}  // namespace modellib::runtime
