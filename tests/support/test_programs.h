// The programs that a test of plans must hold for: the main job, training steps of every kind of
// model, the probes' programs, control flow. One list, for all tests that compile and run whole
// programs (steady state, bits, linkage).
#ifndef MODELLIB_TESTS_SUPPORT_TEST_PROGRAMS_H_
#define MODELLIB_TESTS_SUPPORT_TEST_PROGRAMS_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "modellib/graph/program.h"
#include "modellib/passes/backend.h"
#include "modellib/passes/compile.h"
#include "modellib/tests/support/program_run.h"

namespace modellib {

struct TestProgram {
  Program program;
  CompileOptions options;
  ProgramCalls calls;
  // Whether each round of the calls gives the same bits: nothing that a call reads changes from
  // round to round.
  bool repeats = false;
  // Null: the CPU's.
  const Backend* backend = nullptr;
};

struct TestProgramCase {
  std::string name;
  std::function<absl::StatusOr<TestProgram>()> make;
};
// For gtest's messages.
inline void PrintTo(const TestProgramCase& c, std::ostream* out) { *out << c.name; }

// Small ones: a run takes a few milliseconds at most. //tests/goldens:training_goldens must be
// among the test's data.
std::vector<TestProgramCase> test_programs();
// Of published size: a run takes about a second, and the variables up to 2 GB.
std::vector<TestProgramCase> large_test_programs();

absl::StatusOr<CompileResult> compile_test_program(const TestProgram& program);

}  // namespace modellib

#endif  // MODELLIB_TESTS_SUPPORT_TEST_PROGRAMS_H_
