#include "modellib/frontends/cli/diff_side.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/cpu_device.h"
#include "modellib/frontends/cli/dims.h"
#include "modellib/frontends/cli/load_with_inputs.h"
#include "modellib/frontends/cli/reference_device.h"
#include "modellib/frontends/cli/value_names.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/status_macros.h"
#include "modellib/passes/channels_last.h"

namespace modellib::cli {
namespace {

// [batch, spatial…, channels] as [batch, channels, spatial…].
absl::StatusOr<Tensor> channels_first(const Tensor& image) {
  std::vector<int64_t> shape = image.shape();
  if (shape.size() < 3 || bits_of(image.dtype()) < 8) return image;
  const int64_t batch = shape.front(), channels = shape.back();
  shape.insert(shape.begin() + 1, channels);
  shape.pop_back();
  MODELLIB_ASSIGN_OR_RETURN(Tensor out, Tensor::zeros(image.dtype(), shape));
  if (image.elements() == 0) return out;
  const int64_t pixels = image.elements() / (batch * channels);
  const auto size = static_cast<size_t>(bits_of(image.dtype()) / 8);
  std::byte* to = out.mutable_data();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t p = 0; p < pixels; ++p, to += size) {
        const int64_t from = (b * pixels + p) * channels + c;
        std::memcpy(to, image.data() + static_cast<size_t>(from) * size, size);
      }
    }
  }
  return out;
}

class CpuSide final : public RunSide {
 public:
  absl::Status open(const LoadedFile& file, const DiffSide& side, const DiffOptions& options) {
    std::shared_ptr<const PlanFile> plan = file.plan;
    if (plan == nullptr) {
      MODELLIB_ASSIGN_OR_RETURN(const LoadedFile kept, keep_entry(file, options.entry));
      CompileOptions compile;
      MODELLIB_ASSIGN_OR_RETURN(compile.dims, dims_of(kept, options));
      compile.pipeline.disabled = side.disabled;
      MODELLIB_ASSIGN_OR_RETURN(CompiledModel compiled, compile_for_cpu(*kept.model, compile));
      plan = std::move(compiled.plan);
    } else if (!side.disabled.empty()) {
      return wrong_usage(absl::StrCat(side.file, " is a plan: its passes ran already"));
    }
    runtime::SessionOptions session;
    session.threads = options.threads.value_or(0);
    session.observer = [this](const runtime::StepEvent& event) { observe(event); };
    MODELLIB_ASSIGN_OR_RETURN(cpu_, start_on_cpu(std::move(plan), std::move(session)));
    MODELLIB_ASSIGN_OR_RETURN(const std::string name,
                              choose_entry(entry_names(*cpu_.executable), options.entry));
    MODELLIB_ASSIGN_OR_RETURN(entry_, cpu_.executable->entry(name));
    dims_ = options.dims;
    // What cannot run whatever its inputs are is found before they are read.
    return cpu_.session->reserve_outputs(entry_);
  }

  std::vector<InputSlot> inputs() const override {
    std::vector<InputSlot> slots;
    for (const runtime::TensorInfo& input : cpu_.executable->info(entry_).inputs) {
      slots.push_back({input.name, input.dtype});
    }
    return slots;
  }
  std::vector<std::string> outputs() const override {
    std::vector<std::string> names;
    for (const runtime::TensorInfo& output : cpu_.executable->info(entry_).outputs) {
      names.push_back(output.name);
    }
    return names;
  }
  const runtime::Executable* executable() const override { return cpu_.executable.get(); }
  runtime::EntryId entry() const override { return entry_; }

  absl::StatusOr<std::vector<Tensor>> run(const std::vector<Tensor>& inputs) override {
    MODELLIB_RETURN_IF_ERROR(cli::bind_inputs(*cpu_.session, entry_, inputs, dims_));
    auto outputs = cpu_.session->run_tensors(entry_, inputs);
    MODELLIB_RETURN_IF_ERROR(observed_);
    return outputs;
  }

 private:
  // The other side may have a dimension that this one does not.
  static absl::StatusOr<DimRanges> dims_of(const LoadedFile& file, const DiffOptions& options) {
    DimRanges dims;
    if (!options.inputs.empty()) {
      MODELLIB_ASSIGN_OR_RETURN(dims, dims_of_inputs(file, options.entry, options.inputs));
    }
    for (const auto& [name, range] : dims_among(options.dims, dim_names(file))) dims[name] = range;
    return dims;
  }

  void observe(const runtime::StepEvent& event) {
    if (event.entry != entry_) return;
    for (const runtime::StepValue& value : event.values) {
      const std::byte* const bytes = event.buffers[static_cast<size_t>(value.output)];
      int64_t elements = 1;
      for (const int64_t extent : value.extents) elements *= extent;
      const int64_t size = bytes_of(value.dtype, elements);
      if (bytes == nullptr && size != 0) continue;
      auto tensor = Tensor::copy_of(value.dtype, value.extents, bytes, static_cast<size_t>(size));
      if (!tensor.ok()) {
        observed_.Update(tensor.status());
        continue;
      }
      recording_.add(value.name, event.step,
                     absl::StrCat("step ", event.step, " '", event.name, "' (", event.kernel, ")"),
                     *std::move(tensor));
    }
  }

  CpuSession cpu_;
  runtime::EntryId entry_;
  DimRanges dims_;
  absl::Status observed_;
};

class ReferenceSide final : public RunSide {
 public:
  absl::Status open(const LoadedFile& file, const DiffSide& side, const DiffOptions& options) {
    MODELLIB_ASSIGN_OR_RETURN(const Model* model, model_for_reference(file, side.file));
    if (!side.disabled.empty()) {
      return wrong_usage("the reference executor runs no passes to leave out");
    }
    model_ = *model;
    MODELLIB_ASSIGN_OR_RETURN(model_.program, name_values(model_.program));
    MODELLIB_ASSIGN_OR_RETURN(const Program::Entry entry, entry_of(model_, options.entry));
    graph_ = entry.graph;
    return absl::OkStatus();
  }

  std::vector<InputSlot> inputs() const override { return input_slots(*graph_); }
  std::vector<std::string> outputs() const override {
    std::vector<std::string> names;
    for (const Graph::Output& output : graph_->outputs()) names.push_back(output.name);
    return names;
  }

  absl::StatusOr<std::vector<Tensor>> run(const std::vector<Tensor>& inputs) override {
    ReferenceOptions options;
    options.observe = [this](ValueId id, const Tensor& tensor) {
      const Graph::ValueInfo& info = graph_->value(id);
      if (info.producer < 0 || info.name.empty()) return;
      const Graph::Node& node = graph_->node(info.producer);
      recording_.add(info.name, info.producer,
                     absl::StrCat("node ", info.producer, " (", node.op->name, ")"), tensor);
    };
    MODELLIB_ASSIGN_OR_RETURN(ReferenceResult result,
                              run_on_reference(model_, graph_, inputs, std::move(options)));
    return std::move(result.outputs);
  }

 private:
  Model model_;
  GraphRef graph_;
};

}  // namespace

void Recording::add(absl::string_view name, int step, const std::string& where, Tensor tensor) {
  if (absl::ConsumeSuffix(&name, kChannelsLastSuffix)) {
    auto first = channels_first(tensor);
    if (!first.ok()) return;
    tensor = *std::move(first);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!first_nan_.has_value()) {
    const int64_t nan = cli::first_nan(tensor);
    if (nan >= 0) first_nan_ = {std::string(name), where, position(tensor, nan)};
  }
  const auto [it, inserted] = index_.try_emplace(std::string(name), values_.size());
  if (inserted) {
    Value& value = values_.emplace_back();
    value.name = std::string(name);
    value.step = step;
    value.where = where;
  }
  Value& value = values_[it->second];
  value.ambiguous = value.ambiguous || value.step != step;
  value.trips.push_back(std::move(tensor));
}

const Recording::Value* Recording::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &values_[it->second];
}

absl::StatusOr<std::unique_ptr<RunSide>> open_side(LoadedFile file, const DiffSide& side,
                                                   const DiffOptions& options) {
  if (side.device == "reference") {
    auto reference = std::make_unique<ReferenceSide>();
    MODELLIB_RETURN_IF_ERROR(reference->open(file, side, options));
    return reference;
  }
  auto cpu = std::make_unique<CpuSide>();
  MODELLIB_RETURN_IF_ERROR(cpu->open(file, side, options));
  return cpu;
}

}  // namespace modellib::cli
