#include "modellib/tests/random_graphs/checks.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "flatbuffers/flatbuffers.h"
#include "modellib/executors/cpu/backend/cpu_backend.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/formats/plan_file.h"
#include "modellib/formats/verify_plan.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/op_def.h"
#include "modellib/graph/program.h"
#include "modellib/ops/registry.h"
#include "modellib/passes/pipeline.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/any_workers.h"
#include "modellib/tests/support/cpu_program.h"

namespace modellib {
namespace {

std::string differences(const std::vector<Tensor>& got, const NamedTensors& assigned,
                        const ReferenceResult& expected, double tolerance) {
  if (got.size() != expected.outputs.size()) return "another number of outputs";
  for (size_t i = 0; i < got.size(); ++i) {
    const std::string d = difference(got[i], expected.outputs[i], tolerance);
    if (!d.empty()) return absl::StrCat("output ", i, ": ", d);
  }
  for (const auto& [name, value] : expected.assigned) {
    const auto found = assigned.find(name);
    if (found == assigned.end()) return absl::StrCat("variable ", name, " is not assigned");
    const std::string d = difference(found->second, value, tolerance);
    if (!d.empty()) return absl::StrCat("variable ", name, ": ", d);
  }
  return "";
}

}  // namespace

absl::StatusOr<Program> program_of(const GraphCase& c) {
  Program program{{{"main", c.graph}}};
  if (c.graph->variables().empty()) return program;
  GraphBuilder b(builtin_ops(), kInitializeEntry);
  b.input("seed", {DType::kI64, {}});
  for (const Graph::VariableUse& use : c.graph->variables()) {
    b.assign(*use.variable, b.constant(c.variables.at(use.variable->name)));
  }
  absl::StatusOr<GraphRef> initialize = b.build();
  if (!initialize.ok()) return initialize.status();
  program.entries.push_back({std::string(kInitializeEntry), *std::move(initialize)});
  return program;
}

std::string fault_of_passes(const GraphCase& c, const std::vector<std::string>& passes,
                            double tolerance) {
  const auto before = run_reference(c.graph, c.inputs, c.variables);
  if (!before.ok()) return absl::StrCat("reference: ", before.status().ToString());
  std::string fault;
  uint64_t last = structural_hash(*c.graph);
  PipelineOptions options;
  options.passes = passes;
  options.dump = [&](int number, absl::string_view pass, const Graph& graph) {
    const uint64_t hash = structural_hash(graph);
    if (!fault.empty() || hash == last) return;
    last = hash;
    // Lives as long as this call.
    const GraphRef borrowed(GraphRef(), &graph);
    const auto after = run_reference(borrowed, c.inputs, c.variables);
    fault = after.ok() ? differences(after->outputs, after->assigned, *before,
                                     std::max(tolerance, c.tolerance))
                       : after.status().ToString();
    if (!fault.empty()) fault = absl::StrCat("after pass ", number, ", ", pass, ": ", fault);
  };
  const auto result = run_pipeline(c.graph, builtin_ops(), &cpu::cpu_backend(), options);
  if (!result.ok()) {
    return absl::StrCat(absl::StrJoin(passes, ", "), ": ", result.status().ToString());
  }
  return fault;
}

std::map<std::string, int64_t> changes_by_pass(const GraphCase& c,
                                               const std::vector<std::string>& passes) {
  std::map<std::string, int64_t> changes;
  uint64_t last = structural_hash(*c.graph);
  PipelineOptions options;
  options.passes = passes;
  options.dump = [&](int, absl::string_view pass, const Graph& graph) {
    const uint64_t hash = structural_hash(graph);
    changes[std::string(pass)] += hash != last;
    last = hash;
  };
  run_pipeline(c.graph, builtin_ops(), &cpu::cpu_backend(), options).status().IgnoreError();
  return changes;
}

std::string fault_on_cpu(const GraphCase& c, bool bounded) {
  const auto binding = bind_inputs(*c.graph, c.inputs);
  if (!binding.ok()) return binding.status().ToString();
  CompileOptions options;
  for (const auto& [symbol, extent] : *binding) {
    options.dims[symbol] = bounded ? DimRange{1, extent + 2} : DimRange{extent, extent};
  }
  const auto source = program_of(c);
  if (!source.ok()) return source.status().ToString();
  auto program = compile_for_cpu(*source, options);
  if (!program.ok()) return program.status().ToString();
  const auto file = make_plan_file(program->compiled.lowered);
  if (!file.ok()) return file.status().ToString();
  if (absl::Status s = verify_plan((*file)->plan()); !s.ok()) return s.ToString();
  const auto expected = run_reference(c.graph, c.inputs, c.variables);
  if (!expected.ok()) return absl::StrCat("reference: ", expected.status().ToString());
  const auto got = run_with_any_workers(*program, c.inputs);
  if (!got.ok()) return got.status().ToString();
  return differences(got->outputs, got->assigned, *expected, c.tolerance);
}

Work work_of(const fb::PlanT& plan) {
  Work work;
  for (const auto& entry : plan.entries) {
    for (const auto& sequence : entry->sequences) {
      for (const auto& step : sequence->steps) {
        ++work.steps;
        for (const auto* operands : {&step->outputs, &step->inputs}) {
          for (const fb::BufferRef& r : *operands) {
            if (r.space() != fb::Space::None) work.bytes += static_cast<int64_t>(r.size());
          }
        }
      }
    }
  }
  return work;
}

namespace {

absl::StatusOr<Attributes> shuffled_regions(const Graph::Node& node, SeededNumbers& random) {
  AttributeList list = node.attributes.list();
  bool any = false;
  for (auto& [name, value] : list) {
    auto* region = std::get_if<GraphRef>(&value);
    if (region == nullptr || *region == nullptr) continue;
    *region = shuffled(**region, static_cast<uint64_t>(random.below(1000000)));
    if (*region == nullptr) return absl::InternalError("a region cannot be built again");
    any = true;
  }
  if (!any) return node.attributes;
  return node.op->attributes.parse(list);
}

}  // namespace

GraphRef shuffled(const Graph& graph, uint64_t seed) {
  SeededNumbers random(seed);
  GraphBuilder b(builtin_ops(), graph.name());
  std::vector<Value> map(graph.values().size());
  for (const auto& [symbol, range] : graph.ranges()) b.set_range(symbol, range);
  for (ValueId id : graph.inputs()) {
    map[static_cast<size_t>(id)] = b.input(graph.value(id).name, graph.type(id));
  }
  std::vector<const Graph::VariableUse*> uses;
  for (const Graph::VariableUse& use : graph.variables()) uses.push_back(&use);
  for (size_t i = uses.size(); i > 1; --i) {
    std::swap(uses[i - 1], uses[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
  }
  for (const Graph::VariableUse* use : uses) {
    if (use->value != kNoValue) map[static_cast<size_t>(use->value)] = b.variable(*use->variable);
  }
  // Of the nodes whose operands are there, any.
  std::vector<NodeId> waiting;
  for (size_t n = 0; n < graph.nodes().size(); ++n) waiting.push_back(static_cast<NodeId>(n));
  while (!waiting.empty()) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < waiting.size(); ++i) {
      const auto& inputs = graph.node(waiting[i]).inputs;
      if (std::all_of(inputs.begin(), inputs.end(), [&](ValueId in) {
            return in == kNoValue || !map[static_cast<size_t>(in)].is_null();
          })) {
        ready.push_back(i);
      }
    }
    const size_t chosen =
        ready[static_cast<size_t>(random.below(static_cast<int64_t>(ready.size())))];
    const Graph::Node& node = graph.node(waiting[chosen]);
    waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(chosen));
    const GraphBuilder::ScopeOf scope(b, graph.scopes()[static_cast<size_t>(node.scope)]);
    std::vector<Value> operands;
    for (ValueId in : node.inputs) {
      operands.push_back(in == kNoValue ? Value() : map[static_cast<size_t>(in)]);
    }
    absl::StatusOr<Attributes> attributes = shuffled_regions(node, random);
    if (!attributes.ok()) return nullptr;
    const std::vector<Value> outputs = b.emit(*node.op, operands, *std::move(attributes));
    for (int i = 0; i < node.num_outputs; ++i) {
      map[static_cast<size_t>(node.output(i))] = outputs[static_cast<size_t>(i)];
      b.set_name(outputs[static_cast<size_t>(i)], absl::StrCat("renamed", random.below(1000000)));
    }
  }
  for (const Graph::Constraint& c : graph.constraints()) b.require_equal(c.left, c.right, c.reason);
  for (const Graph::Output& out : graph.outputs()) {
    b.output(out.name, map[static_cast<size_t>(out.value)]);
  }
  for (const Graph::VariableUse* use : uses) {
    if (use->assigned != kNoValue) {
      b.assign(*use->variable, map[static_cast<size_t>(use->assigned)]);
    }
  }
  absl::StatusOr<GraphRef> result = b.build();
  return result.ok() ? *std::move(result) : nullptr;
}

namespace {

// How many slots, from the first on, something other than the names of values reads.
size_t used_slots(const fb::EntryT& entry) {
  int32_t last = -1;
  const auto read = [&](const fb::Scalar& s) { last = std::max(last, s.slot()); };
  for (const auto* tensors : {&entry.inputs, &entry.outputs}) {
    for (const auto& tensor : *tensors)
      std::for_each(tensor->shape.begin(), tensor->shape.end(), read);
  }
  for (const auto& sequence : entry.sequences) {
    for (const auto& step : sequence->steps) {
      std::for_each(step->scalars.begin(), step->scalars.end(), read);
      read(*step->chunks);
    }
  }
  return static_cast<size_t>(last + 1);
}

}  // namespace

std::string form_of(fb::PlanT plan) {
  plan.passes.clear();
  for (const auto& constant : plan.constants) constant->name.clear();
  for (const auto& entry : plan.entries) {
    for (const auto& contributor : entry->contributors) contributor->name.clear();
    for (const auto& sequence : entry->sequences) {
      for (const auto& step : sequence->steps) {
        step->name.clear();
        step->values.clear();  // those that have names
      }
    }
    entry->slots.resize(std::min(entry->slots.size(), used_slots(*entry)));
  }
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Plan::Pack(builder, &plan));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

}  // namespace modellib
