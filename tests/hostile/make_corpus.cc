// Writes what the fuzzers of real ops and kernels start from: make_corpus FILE..., where a FILE is
// named PROGRAM.mlplan (the plan of a test program), GRAPH.metadata (the metadata of the CPU's plan
// of a graph), GRAPH.mltxt or GRAPH.mlmodel. A GRAPH is OP (an op's first sample), OP.SAMPLE, or
// one of `kOwnGraphs`. Fails if a kernel of the CPU's, or a step of the runtime's own, is in none
// of the plans: the fuzzers would never reach it.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "modellib/executors/cpu/kernels/registry.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/formats/native_model.h"
#include "modellib/formats/plan_file.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/text.h"
#include "modellib/ops/conv.h"
#include "modellib/ops/pointwise.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/shape.h"
#include "modellib/tests/op_table/samples.h"
#include "modellib/tests/support/cpu_program.h"
#include "modellib/tests/support/test_programs.h"

namespace modellib {
namespace {

absl::Status write(const std::string& path, const void* data, size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  return file.good() ? absl::OkStatus() : absl::InternalError(absl::StrCat("cannot write ", path));
}

struct Source {
  GraphRef graph;
  CompileOptions options;
};

// A convolution by tiles: channels last, as many as the tiles want, and a filter known ahead.
absl::StatusOr<Source> winograd() {
  GraphBuilder b(builtin_ops(), "winograd");
  const Value x = b.input("x", {DType::kF32, {1, 32, 32, 32}});
  MODELLIB_ASSIGN_OR_RETURN(Tensor filter,
                            random_tensor(DType::kF32, {16, 32, 3, 3}, -1, 1, "filter"));
  b.output("y", conv(x, b.constant(std::move(filter)),
                     {.padding_low = {1, 1}, .padding_high = {1, 1}, .layout = "NHWC"}));
  MODELLIB_ASSIGN_OR_RETURN(GraphRef graph, b.build());
  return Source{std::move(graph), {}};
}

// A convolution as a product, with a filter that only a run knows.
absl::StatusOr<Source> conv_product() {
  GraphBuilder b(builtin_ops(), "conv_product");
  const Value x = b.input("x", {DType::kF32, {1, 9, 9, 32}});
  const Value filter = b.input("filter", {DType::kF32, {16, 32, 2, 2}});
  b.output("y", conv(x, filter, {.strides = {2, 2}, .layout = "NHWC"}));
  MODELLIB_ASSIGN_OR_RETURN(GraphRef graph, b.build());
  return Source{std::move(graph), {}};
}

// A convolution of numbers that neither oneDNN nor the products take.
absl::StatusOr<Source> conv_f64() {
  GraphBuilder b(builtin_ops(), "conv_f64");
  const Value x = b.input("x", {DType::kF64, {2, 3, 6, 5}});
  const Value filter = b.input("filter", {DType::kF64, {4, 3, 3, 3}});
  b.output("y", conv(x, filter, {}));
  MODELLIB_ASSIGN_OR_RETURN(GraphRef graph, b.build());
  return Source{std::move(graph), {}};
}

// Extents as numbers that only a run knows.
absl::StatusOr<Source> dim_values() {
  GraphBuilder b(builtin_ops(), "dim_values");
  const Dim rows = Dim::symbol("rows");
  const Value x = b.input("x", {DType::kI64, {rows, 3}});
  b.output("y", x + dim_value(b, rows) * dim_value(b, rows + Dim(1)));
  MODELLIB_ASSIGN_OR_RETURN(GraphRef graph, b.build());
  Source source = {std::move(graph), {}};
  source.options.dims["rows"] = {1, 16};
  return source;
}

struct OwnGraph {
  const char* name;
  absl::StatusOr<Source> (*make)();
};
// What no sample of an op compiles to.
constexpr OwnGraph kOwnGraphs[] = {{"winograd", winograd},
                                   {"conv_product", conv_product},
                                   {"conv_f64", conv_f64},
                                   {"dim_values", dim_values}};

absl::StatusOr<Source> source_of(const std::string& name) {
  for (const OwnGraph& own : kOwnGraphs) {
    if (name == own.name) return own.make();
  }
  for (const OpCase& c : op_cases()) {
    if (c.op->name != name && absl::StrCat(c.op->name, ".", c.sample.name) != name) continue;
    Source source;
    MODELLIB_ASSIGN_OR_RETURN(source.graph, sample_graph(c));
    MODELLIB_ASSIGN_OR_RETURN(const auto inputs, sample_inputs(c));
    MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, bind_inputs(*source.graph, inputs));
    for (const auto& [symbol, extent] : binding) source.options.dims[symbol] = {extent, extent};
    return source;
  }
  return absl::NotFoundError(absl::StrCat("no graph '", name, "'"));
}

// The kernels of the steps of every plan written so far.
class Coverage {
 public:
  void add(const fb::Plan& plan) {
    ++plans_;
    for (const fb::Entry* entry : *plan.entries()) {
      for (const fb::Sequence* sequence : *entry->sequences()) {
        if (sequence->steps() == nullptr) continue;
        for (const fb::Step* step : *sequence->steps()) {
          seen_.insert(plan.kernels()->Get(step->kernel())->str());
        }
      }
    }
  }

  absl::Status check() const {
    if (plans_ == 0) return absl::OkStatus();  // only graphs were asked for
    std::vector<std::string> wanted = {"control.cond",       "control.scan",   "control.while",
                                       "comm.all_reduce",    "comm.broadcast", "comm.all_gather",
                                       "comm.reduce_scatter"};
    for (const runtime::Kernel& kernel : cpu::cpu_kernels()) wanted.emplace_back(kernel.name);
    std::vector<std::string> missing;
    for (const std::string& name : wanted) {
      if (seen_.count(name) == 0) missing.push_back(name);
    }
    if (missing.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("no plan of the corpus has a step of: ", absl::StrJoin(missing, ", "),
                     "; add one to _PLANS in tests/hostile/BUILD"));
  }

 private:
  int plans_ = 0;
  std::set<std::string> seen_;
};

absl::Status write_plan(const std::string& path, const CompileResult& compiled, bool whole,
                        Coverage& coverage) {
  MODELLIB_ASSIGN_OR_RETURN(const auto file, make_plan_file(compiled.lowered));
  coverage.add(file->plan());
  if (whole) return file->write(path);
  return write(path, file->metadata().data(), file->metadata().size());
}

absl::Status make(const std::string& path, Coverage& coverage) {
  const std::filesystem::path name(path);
  const std::string stem = name.stem().string(), kind = name.extension().string();
  if (kind == ".mlplan") {
    for (const TestProgramCase& c : test_programs()) {
      if (c.name != stem) continue;
      MODELLIB_ASSIGN_OR_RETURN(const TestProgram program, c.make());
      MODELLIB_ASSIGN_OR_RETURN(const CompileResult compiled, compile_test_program(program));
      return write_plan(path, compiled, true, coverage);
    }
    return absl::NotFoundError(absl::StrCat("no program '", stem, "'"));
  }
  MODELLIB_ASSIGN_OR_RETURN(const Source source, source_of(stem));
  if (kind == ".metadata") {
    MODELLIB_ASSIGN_OR_RETURN(const CpuProgram program,
                              compile_for_cpu(source.graph, source.options));
    return write_plan(path, program.compiled, false, coverage);
  }
  Model model;
  model.program.entries.push_back({"main", source.graph});
  if (kind == ".mltxt") {
    const std::string text = print(model.program, {.max_inline_elements = 1000});
    return write(path, text.data(), text.size());
  }
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, model_bytes(model));
  return write(path, bytes.data(), bytes.size());
}

int run(int argc, char** argv) {
  Coverage coverage;
  for (int i = 1; i < argc; ++i) {
    const absl::Status status = make(argv[i], coverage);
    if (status.ok()) continue;
    std::fprintf(stderr, "%s: %s\n", argv[i], status.ToString().c_str());
    return 1;
  }
  const absl::Status covered = coverage.check();
  if (!covered.ok()) std::fprintf(stderr, "make_corpus: %s\n", covered.ToString().c_str());
  return covered.ok() && argc > 1 ? 0 : 1;
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) { return modellib::run(argc, argv); }
