// Writes what the fuzzers of real ops and kernels start from: make_corpus FILE..., where a FILE is
// named OP.metadata (the metadata of the CPU's plan of an op's first sample), PROGRAM.mlplan (the
// plan of a test program), OP.mltxt or OP.mlmodel (the sample's graph).
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "modellib/executors/reference/reference_executor.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/text.h"
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

absl::StatusOr<OpCase> first_sample(const std::string& op) {
  for (const OpCase& c : op_cases()) {
    if (c.op->name == op) return c;
  }
  return absl::NotFoundError(absl::StrCat("no op '", op, "'"));
}

absl::Status write_plan(const std::string& path, const CompileResult& compiled, bool whole) {
  MODELLIB_ASSIGN_OR_RETURN(const auto file, make_plan_file(compiled.lowered));
  if (whole) return file->write(path);
  return write(path, file->metadata().data(), file->metadata().size());
}

absl::Status make(const std::string& path) {
  const std::filesystem::path name(path);
  const std::string stem = name.stem().string(), kind = name.extension().string();
  if (kind == ".mlplan") {
    for (const TestProgramCase& c : test_programs()) {
      if (c.name != stem) continue;
      MODELLIB_ASSIGN_OR_RETURN(const TestProgram program, c.make());
      MODELLIB_ASSIGN_OR_RETURN(const CompileResult compiled, compile_test_program(program));
      return write_plan(path, compiled, true);
    }
    return absl::NotFoundError(absl::StrCat("no program '", stem, "'"));
  }
  MODELLIB_ASSIGN_OR_RETURN(const OpCase c, first_sample(stem));
  MODELLIB_ASSIGN_OR_RETURN(const GraphRef graph, sample_graph(c));
  if (kind == ".metadata") {
    MODELLIB_ASSIGN_OR_RETURN(const auto inputs, sample_inputs(c));
    MODELLIB_ASSIGN_OR_RETURN(const DimBinding binding, bind_inputs(*graph, inputs));
    CompileOptions options;
    for (const auto& [symbol, extent] : binding) options.dims[symbol] = {extent, extent};
    MODELLIB_ASSIGN_OR_RETURN(const CpuProgram program, compile_for_cpu(graph, options));
    return write_plan(path, program.compiled, false);
  }
  Model model;
  model.program.entries.push_back({"main", graph});
  if (kind == ".mltxt") {
    const std::string text = print(model.program, {.max_inline_elements = 1000});
    return write(path, text.data(), text.size());
  }
  MODELLIB_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, model_bytes(model));
  return write(path, bytes.data(), bytes.size());
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const absl::Status status = modellib::make(argv[i]);
    if (status.ok()) continue;
    std::fprintf(stderr, "%s: %s\n", argv[i], status.ToString().c_str());
    return 1;
  }
  return argc > 1 ? 0 : 2;
}
