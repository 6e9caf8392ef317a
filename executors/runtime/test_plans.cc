#include "modellib/executors/runtime/test_plans.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "modellib/graph/status_macros.h"

namespace modellib::runtime::testing {
namespace {

float* floats(const KernelArgs& args, int i) { return reinterpret_cast<float*>(args.buffers[i]); }

// How the kernels below find their chunk: the number of chunks is their last scalar.
struct Part {
  int64_t begin, end;
};
template <int kChunksScalar>
Part part(const KernelArgs& args, int64_t chunk) {
  const int64_t n = args.scalars[0];
  const int64_t chunks = args.scalars[kChunksScalar];
  return {n * chunk / chunks, n * (chunk + 1) / chunks};
}

// Checks that the first `inputs` inputs and the first output hold scalars[0] floats, and that the
// scalars are as many as said, the last being the number of chunks.
template <size_t kInputs, size_t kScalars>
absl::Status check_elements(const StepView& step) {
  if (step.input_bytes.size() != kInputs || step.output_bytes.size() != 1 ||
      step.scalars.size() != kScalars) {
    return absl::InvalidArgumentError("wrong number of operands or scalars");
  }
  const StepView::Range n = step.scalars[0];
  if (n.min < 0 || n.max > (1 << 30)) return absl::InvalidArgumentError("bad n");
  const auto bytes = static_cast<uint64_t>(n.max) * sizeof(float);
  for (const uint64_t b : step.input_bytes) {
    if (b < bytes) return absl::InvalidArgumentError("input too small");
  }
  if (step.output_bytes[0] < bytes) return absl::InvalidArgumentError("output too small");
  const StepView::Range c = step.scalars[kScalars - 1];
  if (c.min != c.max || step.chunks.min != c.min || step.chunks.max != c.max || c.min < 1) {
    return absl::InvalidArgumentError("chunks differ from the last scalar");
  }
  return absl::OkStatus();
}

absl::Status check_sum(const StepView& step) {
  if (step.input_bytes.size() != 1 || step.output_bytes.size() != 1 || step.scalars.size() != 2 ||
      step.scalars[0].min < 0 || step.scalars[0].max > (1 << 30) ||
      step.input_bytes[0] < static_cast<uint64_t>(step.scalars[0].max) * 4 ||
      step.scalars[1].min != step.scalars[1].max || step.scalars[1].min < 1 ||
      step.chunks.max != step.scalars[1].max || step.chunks.min != step.scalars[1].min ||
      step.output_bytes[0] < static_cast<uint64_t>(step.chunks.max) * 4) {
    return absl::InvalidArgumentError("wrong operands");
  }
  return absl::OkStatus();
}

absl::Status check_gather(const StepView& step) {
  if (step.input_bytes.size() != 2 || step.output_bytes.size() != 1 || step.scalars.size() != 2 ||
      step.scalars[0].min < 0 || step.scalars[0].max > (1 << 30) || step.scalars[1].min < 0 ||
      step.scalars[1].max > (1 << 30) ||
      step.output_bytes[0] < static_cast<uint64_t>(step.scalars[0].max) * 4 ||
      step.input_bytes[1] < static_cast<uint64_t>(step.scalars[0].max) * 4 ||
      step.input_bytes[0] < static_cast<uint64_t>(step.scalars[1].max) * 4) {
    return absl::InvalidArgumentError("wrong operands");
  }
  return absl::OkStatus();
}

template <uint64_t kOutput, uint64_t kInput, size_t kScalars>
absl::Status check_sizes(const StepView& step) {
  if (step.output_bytes.size() != 1 || step.output_bytes[0] < kOutput ||
      step.input_bytes.size() != (kInput == 0 ? 0 : 1) ||
      (kInput != 0 && step.input_bytes[0] < kInput) || step.scalars.size() != kScalars) {
    return absl::InvalidArgumentError("wrong operands");
  }
  return absl::OkStatus();
}

int64_t integer(const KernelArgs& args, int i) {
  int64_t value;
  std::memcpy(&value, args.buffers[i], sizeof(value));
  return value;
}

const Kernel kKernels[] = {
    {.name = "test.fill",
     .validate = check_elements<0, 3>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const Part p = part<2>(args, chunk);
           std::fill(floats(args, 0) + p.begin, floats(args, 0) + p.end, args.f32(1));
         }},
    {.name = "test.iota",
     .validate = check_elements<0, 3>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const Part p = part<2>(args, chunk);
           for (int64_t i = p.begin; i < p.end; ++i) {
             floats(args, 0)[i] = args.f32(1) + static_cast<float>(i);
           }
         }},
    {.name = "test.copy",
     .validate = check_elements<1, 2>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const Part p = part<1>(args, chunk);
           std::copy(floats(args, 1) + p.begin, floats(args, 1) + p.end, floats(args, 0) + p.begin);
         }},
    {.name = "test.add",
     .validate = check_elements<2, 2>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const Part p = part<1>(args, chunk);
           for (int64_t i = p.begin; i < p.end; ++i) {
             floats(args, 0)[i] = floats(args, 1)[i] + floats(args, 2)[i];
           }
         }},
    {.name = "test.scale",
     .validate = check_elements<1, 3>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const Part p = part<2>(args, chunk);
           for (int64_t i = p.begin; i < p.end; ++i) {
             floats(args, 0)[i] = floats(args, 1)[i] * args.f32(1);
           }
         }},
    {.name = "test.sum",
     .validate = check_sum,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const Part p = part<1>(args, chunk);
           float sum = 0;
           for (int64_t i = p.begin; i < p.end; ++i) sum += floats(args, 1)[i];
           floats(args, 0)[chunk] = sum;
         }},
    {.name = "test.gather",
     .validate = check_gather,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const auto* index = reinterpret_cast<const int32_t*>(args.buffers[2]);
           for (int64_t i = 0; i < args.scalars[0]; ++i) {
             if (index[i] < 0 || index[i] >= args.scalars[1]) {
               args.fault->report(Fault::kIndexOutOfRange, index[i], args.scalars[1]);
               return;
             }
             floats(args, 0)[i] = floats(args, 1)[index[i]];
           }
         }},
    {.name = "test.less",
     .validate = check_sizes<1, 8, 1>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           args.buffers[0][0] = std::byte(integer(args, 1) < args.scalars[0] ? 1 : 0);
         }},
    {.name = "test.count",
     .validate = check_sizes<8, 8, 1>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           const auto sum = static_cast<int64_t>(static_cast<uint64_t>(integer(args, 1)) +
                                                 static_cast<uint64_t>(args.scalars[0]));
           std::memcpy(args.buffers[0], &sum, sizeof(sum));
         }},
    {.name = "test.float_of",
     .validate = check_sizes<4, 8, 0>,
     .run = [](const KernelArgs& args,
               int64_t chunk) { floats(args, 0)[0] = static_cast<float>(integer(args, 1)); }},
    {.name = "test.sleep",
     .validate = check_sizes<4, 0, 1>,
     .run =
         [](const KernelArgs& args, int64_t chunk) {
           std::this_thread::sleep_for(std::chrono::milliseconds(args.scalars[0]));
           floats(args, 0)[0] = 1;
         }},
};

int64_t bits(fb::DType dtype) { return bits_of(static_cast<DType>(dtype)); }

std::unique_ptr<fb::TensorDescT> describe(const fb::EntryT& entry, const std::string& name,
                                          fb::DType dtype, std::vector<fb::Scalar> shape,
                                          std::vector<int> symbols) {
  auto desc = std::make_unique<fb::TensorDescT>();
  desc->name = name;
  desc->dtype = dtype;
  int64_t count = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    count *= !symbols.empty() && symbols[i] >= 0
                 ? entry.symbols[static_cast<size_t>(symbols[i])]->max
                 : shape[i].value();
  }
  desc->bytes = static_cast<uint64_t>(count * bits(dtype) / 8);
  desc->shape = std::move(shape);
  desc->symbols = std::move(symbols);
  return desc;
}

SharedBytes shared(const std::vector<float>& values) {
  OwnedBytes memory = *allocate_aligned(values.size() * sizeof(float));
  std::memcpy(memory.data, values.data(), values.size() * sizeof(float));
  return {{memory.data, values.size() * sizeof(float)}, memory.owner};
}

}  // namespace

absl::Span<const Kernel> test_kernels() { return kKernels; }

EntryMaker::EntryMaker(fb::PlanT& plan, const std::string& name) : plan_(plan) {
  plan.entries.push_back(std::make_unique<fb::EntryT>());
  entry_ = plan.entries.back().get();
  entry_->name = name;
  entry_->lanes = {"compute"};
  sequence();
}

int EntryMaker::symbol(const std::string& name, int64_t min, int64_t max) {
  auto symbol = std::make_unique<fb::SymbolT>();
  symbol->name = name;
  symbol->min = min;
  symbol->max = max;
  entry_->symbols.push_back(std::move(symbol));
  return static_cast<int>(entry_->symbols.size()) - 1;
}

int EntryMaker::slot_of(int symbol, int64_t factor, int64_t min, int64_t max) {
  auto slot = std::make_unique<fb::SlotT>();
  slot->expr = {
      {fb::DimOpcode::Symbol, symbol}, {fb::DimOpcode::Const, factor}, {fb::DimOpcode::Mul, 0}};
  slot->min = min;
  slot->max = max;
  entry_->slots.push_back(std::move(slot));
  return static_cast<int>(entry_->slots.size()) - 1;
}

int EntryMaker::input(const std::string& name, fb::DType dtype, std::vector<fb::Scalar> shape,
                      std::vector<int> symbols) {
  entry_->inputs.push_back(describe(*entry_, name, dtype, std::move(shape), std::move(symbols)));
  return static_cast<int>(entry_->inputs.size()) - 1;
}

int EntryMaker::output(const std::string& name, fb::DType dtype, std::vector<fb::Scalar> shape) {
  entry_->outputs.push_back(describe(*entry_, name, dtype, std::move(shape), {}));
  return static_cast<int>(entry_->outputs.size()) - 1;
}

void EntryMaker::arena_bytes(uint64_t bytes) {
  entry_->arenas.clear();
  entry_->arenas.push_back(std::make_unique<fb::ArenaT>());
  entry_->arenas[0]->device = "cpu";
  entry_->arenas[0]->bytes = bytes;
  entry_->arenas[0]->alignment = 64;
  entry_->planned_bytes = bytes;
}

void EntryMaker::uses(uint32_t variable, bool reads, bool writes) {
  auto use = std::make_unique<fb::VariableUseT>();
  use->variable = variable;
  use->reads = reads;
  use->writes = writes;
  entry_->variables.push_back(std::move(use));
}

uint32_t EntryMaker::sequence() {
  entry_->sequences.push_back(std::make_unique<fb::SequenceT>());
  return static_cast<uint32_t>(entry_->sequences.size()) - 1;
}

fb::StepT& EntryMaker::step(const std::string& kernel, std::vector<fb::BufferRef> outputs,
                            std::vector<fb::BufferRef> inputs, std::vector<fb::Scalar> scalars,
                            int64_t chunks, uint32_t sequence) {
  auto step = std::make_unique<fb::StepT>();
  auto known = std::find(plan_.kernels.begin(), plan_.kernels.end(), kernel);
  if (known == plan_.kernels.end()) known = plan_.kernels.insert(known, kernel);
  step->kernel = static_cast<uint32_t>(known - plan_.kernels.begin());
  step->outputs = std::move(outputs);
  step->inputs = std::move(inputs);
  step->scalars = std::move(scalars);
  step->chunks = std::make_unique<fb::Scalar>(chunks, -1);
  auto& steps = entry_->sequences[sequence]->steps;
  step->name = absl::StrCat("s", sequence, ".", steps.size());
  steps.push_back(std::move(step));
  return *steps.back();
}

uint32_t PlanMaker::variable(const std::string& name, int64_t n, fb::VariableKind kind,
                             std::vector<float> initial) {
  auto v = std::make_unique<fb::VariableT>();
  v->name = name;
  v->kind = kind;
  v->dtype = fb::DType::F32;
  v->shape = {n};
  v->bytes = static_cast<uint64_t>(n) * sizeof(float);
  v->segment = -1;
  if (!initial.empty()) {
    v->segment = static_cast<int>(segments.size());
    segments.push_back(shared(initial));
  }
  plan.variables.push_back(std::move(v));
  return static_cast<uint32_t>(plan.variables.size()) - 1;
}

uint32_t PlanMaker::constant(const std::string& name, std::vector<float> values) {
  auto c = std::make_unique<fb::ConstantT>();
  c->name = name;
  c->segment = static_cast<uint32_t>(segments.size());
  c->bytes = values.size() * sizeof(float);
  segments.push_back(shared(values));
  plan.constants.push_back(std::move(c));
  return static_cast<uint32_t>(plan.constants.size()) - 1;
}

absl::StatusOr<std::shared_ptr<const Executable>> PlanMaker::try_load(
    const LoadOptions& options) const {
  MODELLIB_ASSIGN_OR_RETURN(auto file, PlanFile::from_parts(plan, segments));
  MODELLIB_ASSIGN_OR_RETURN(const KernelTable kernels, KernelTable::create({test_kernels()}));
  return Executable::load(std::move(file), kernels, options);
}

std::shared_ptr<const Executable> PlanMaker::load() const {
  auto executable = try_load();
  EXPECT_TRUE(executable.ok()) << executable.status();
  return executable.ok() ? *executable : nullptr;
}

}  // namespace modellib::runtime::testing
