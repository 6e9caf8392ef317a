// A plan whose steps keep several threads busy, and one run of it through the C API: what the tests
// of how the library lives in a host have in common.
#ifndef MODELLIB_TESTS_EMBEDDING_HOST_PROGRAM_H_
#define MODELLIB_TESTS_EMBEDDING_HOST_PROGRAM_H_

#include <string>
#include <vector>

#include "modellib/modellib.h"

namespace modellib::embedding {

// A convolution through oneDNN, a product and a pointwise region; never null, aborts the test else.
modellib_plan* compile_busy_plan();
// A file of it in the test's folder.
std::string write_busy_plan(const modellib_plan* plan);

// Binds inputs, runs and returns the output; empty where something failed.
std::vector<float> run_busy(modellib_session* session);
// A new session with so many threads, run once; empty where something failed.
std::vector<float> run_anew(const modellib_plan* plan, int threads);

// Threads that the process has.
int thread_count();

}  // namespace modellib::embedding

#endif  // MODELLIB_TESTS_EMBEDDING_HOST_PROGRAM_H_
