#include "modellib/frontends/cli/diff.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/diff_side.h"
#include "modellib/frontends/cli/dims.h"
#include "modellib/frontends/cli/load_with_inputs.h"
#include "modellib/graph/status_macros.h"

namespace modellib::cli {
namespace {

// For each input of B the tensor of A's input of that name, else of that place.
absl::StatusOr<std::vector<Tensor>> inputs_of_b(const std::vector<InputSlot>& a,
                                                const std::vector<InputSlot>& b,
                                                const std::vector<Tensor>& tensors) {
  std::vector<Tensor> out;
  for (const InputSlot& wanted : b) {
    const auto it =
        std::find_if(a.begin(), a.end(), [&](const InputSlot& s) { return s.name == wanted.name; });
    if (it != a.end()) out.push_back(tensors[static_cast<size_t>(it - a.begin())]);
  }
  if (out.size() == b.size()) return out;
  if (a.size() == b.size()) return tensors;
  return absl::InvalidArgumentError(
      absl::StrCat("A has ", a.size(), " inputs, B ", b.size(), ", of other names"));
}

absl::StatusOr<std::vector<Tensor>> make_inputs(const RunSide& a, const RunSide& b,
                                                const onnx::Signature& signature,
                                                const DiffOptions& options) {
  const std::vector<InputSlot> slots = a.inputs();
  if (!options.inputs.empty() || slots.empty()) {
    return read_inputs(options.inputs, slots, signature);
  }
  // The side that has a plan knows how large they are to be; B's are put in the order of A.
  if (a.executable() != nullptr) {
    return sample_inputs(*a.executable(), a.entry(), options.dims, options.samples);
  }
  if (b.executable() == nullptr) {
    return absl::InvalidArgumentError(
        "give inputs: where both run on the reference executor, none can be made up");
  }
  MODELLIB_ASSIGN_OR_RETURN(
      const std::vector<Tensor> samples,
      sample_inputs(*b.executable(), b.entry(), options.dims, options.samples));
  return inputs_of_b(b.inputs(), slots, samples);
}

// Options for what does not happen.
absl::Status check_devices(const DiffOptions& options) {
  if (options.a.device != "reference" || options.b.device != "reference") return absl::OkStatus();
  if (options.threads.has_value()) return wrong_usage("--threads: the reference executor has one");
  if (!options.dims.empty()) {
    return wrong_usage("--dim: for the reference executor the inputs decide the dimensions");
  }
  return absl::OkStatus();
}

std::string shape_text(const Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.shape(), ","), "]");
}

std::optional<DiffReport::Nan> nan_among(absl::string_view what,
                                         const std::vector<std::string>& names,
                                         const std::vector<Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t nan = first_nan(tensors[i]);
    if (nan >= 0)
      return DiffReport::Nan{names[i], absl::StrCat(what, " ", i), position(tensors[i], nan)};
  }
  return std::nullopt;
}

// Inputs come before all that is computed. Outputs come last: some are no value of a step.
std::optional<DiffReport::Nan> first_nan_of(const RunSide& side, const std::vector<Tensor>& inputs,
                                            const std::vector<Tensor>& outputs) {
  std::vector<std::string> names;
  for (const InputSlot& slot : side.inputs()) names.push_back(slot.name);
  std::optional<DiffReport::Nan> found = nan_among("input", names, inputs);
  if (!found.has_value()) found = side.recording().first_nan();
  if (!found.has_value()) found = nan_among("output", side.outputs(), outputs);
  return found;
}

class Comparison {
 public:
  explicit Comparison(const Tolerance& tolerance) : tolerance_(tolerance) {}

  void values(const Recording& a, const Recording& b) {
    report_.values_a = static_cast<int>(a.values().size());
    report_.values_b = static_cast<int>(b.values().size());
    for (const Recording::Value& value : a.values()) {
      const Recording::Value* other = b.find(value.name);
      if (other == nullptr || value.ambiguous || other->ambiguous) continue;
      ++report_.compared;
      const size_t trips = std::min(value.trips.size(), other->trips.size());
      for (size_t t = 0; t < trips; ++t) {
        const bool same = compare({value.name, value.where, other->where, static_cast<int64_t>(t)},
                                  value.trips[t], other->trips[t]);
        if (!same) break;
      }
    }
  }

  void outputs(const std::vector<std::string>& names, const std::vector<Tensor>& a,
               const std::vector<Tensor>& b) {
    report_.outputs = static_cast<int>(a.size());
    for (size_t i = 0; i < a.size(); ++i) {
      const std::string where = absl::StrCat("output ", i);
      compare({absl::StrCat("output ", names[i]), where, where}, a[i], b[i]);
    }
  }

  DiffReport take() { return std::move(report_); }

 private:
  bool compare(DiffReport::Difference found, const Tensor& a, const Tensor& b) {
    found.difference = compare_tensors(a, b, tolerance_);
    if (!found.difference.parted()) return true;
    if (found.difference.shapes_differ) {
      found.position = absl::StrCat(shape_text(a), " and ", shape_text(b));
    } else {
      found.position = position(a, found.difference.worst);
      found.value_a = element_text(a, found.difference.worst);
      found.value_b = element_text(b, found.difference.worst);
    }
    report_.differences.push_back(std::move(found));
    return false;
  }

  const Tolerance& tolerance_;
  DiffReport report_;
};

std::string numbers(const DiffReport::Difference& d) {
  if (d.difference.shapes_differ) return absl::StrCat("the shapes are ", d.position);
  return absl::StrCat(d.difference.differing, " of ", d.difference.elements,
                      " elements differ, the most at ", d.position, ": ", d.value_a, " and ",
                      d.value_b);
}

Json describe(const std::optional<DiffReport::Nan>& nan) {
  if (!nan.has_value()) return nullptr;
  return {{"value", nan->value}, {"where", nan->where}, {"position", nan->position}};
}

}  // namespace

absl::StatusOr<DiffReport> diff(const DiffOptions& options) {
  MODELLIB_RETURN_IF_ERROR(check_devices(options));
  MODELLIB_ASSIGN_OR_RETURN(LoadedFile file_a, load_with_inputs(options.a.file, options.inputs));
  MODELLIB_ASSIGN_OR_RETURN(LoadedFile file_b, load_with_inputs(options.b.file, options.inputs));
  std::vector<std::string> dims = dim_names(file_a);
  for (std::string& name : dim_names(file_b)) dims.push_back(std::move(name));
  MODELLIB_RETURN_IF_ERROR(check_dim_names(options.dims, dims));
  const onnx::Signature signature = file_a.signature;
  MODELLIB_ASSIGN_OR_RETURN(const std::unique_ptr<RunSide> a,
                            open_side(std::move(file_a), options.a, options));
  MODELLIB_ASSIGN_OR_RETURN(const std::unique_ptr<RunSide> b,
                            open_side(std::move(file_b), options.b, options));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs_a,
                            make_inputs(*a, *b, signature, options));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs_b,
                            inputs_of_b(a->inputs(), b->inputs(), inputs_a));
  const std::vector<std::string> names = a->outputs();
  if (names.size() != b->outputs().size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("A has ", names.size(), " outputs, B ", b->outputs().size()));
  }
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs_a, a->run(inputs_a));
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs_b, b->run(inputs_b));
  Comparison comparison(options.tolerance);
  comparison.values(a->recording(), b->recording());
  comparison.outputs(names, outputs_a, outputs_b);
  DiffReport report = comparison.take();
  report.first_nan_a = first_nan_of(*a, inputs_a, outputs_a);
  report.first_nan_b = first_nan_of(*b, inputs_b, outputs_b);
  return report;
}

Json describe_diff(const DiffReport& report) {
  Json out = {{"equal", report.differences.empty()},
              {"values_a", report.values_a},
              {"values_b", report.values_b},
              {"values_compared", report.compared},
              {"outputs_compared", report.outputs},
              {"differences", Json::array()},
              {"first_nan_a", describe(report.first_nan_a)},
              {"first_nan_b", describe(report.first_nan_b)}};
  for (const DiffReport::Difference& d : report.differences) {
    Json row = {{"value", d.value}, {"a", d.where_a}, {"b", d.where_b}, {"trip", d.trip}};
    if (d.difference.shapes_differ) {
      row["shapes"] = d.position;
    } else {
      row["differing"] = d.difference.differing;
      row["elements"] = d.difference.elements;
      row["largest"] = d.difference.largest;
      row["position"] = d.position;
      // JSON has no NaN, no infinity and not all integers: they travel as text.
      row["value_a"] = d.value_a;
      row["value_b"] = d.value_b;
    }
    out["differences"].push_back(std::move(row));
  }
  return out;
}

std::string diff_text(const DiffReport& report, const Tolerance& tolerance) {
  std::string out =
      absl::StrCat("compared ", report.compared, " values by name (A has ", report.values_a, ", B ",
                   report.values_b, ") and ", report.outputs, " outputs\n");
  if (report.differences.empty()) {
    absl::StrAppend(&out, "equal within ", tolerance.absolute, " + ", tolerance.relative,
                    " of the value\n");
  } else {
    const DiffReport::Difference& first = report.differences.front();
    absl::StrAppend(&out, report.differences.size(), " part; the first is '", first.value, "'",
                    first.trip == 0 ? "" : absl::StrCat(" in trip ", first.trip),
                    ":\n  A: ", first.where_a, "\n  B: ", first.where_b, "\n  ", numbers(first),
                    "\n");
  }
  const auto nan = [&](const char* side, const std::optional<DiffReport::Nan>& found) {
    if (!found.has_value()) return;
    absl::StrAppend(&out, "first NaN of ", side, ": '", found->value, "' at ", found->position,
                    ", ", found->where, "\n");
  };
  nan("A", report.first_nan_a);
  nan("B", report.first_nan_b);
  return out;
}

}  // namespace modellib::cli
