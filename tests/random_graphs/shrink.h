// Makes a failing case small, so that a person can read it.
#ifndef MODELLIB_TESTS_RANDOM_GRAPHS_SHRINK_H_
#define MODELLIB_TESTS_RANDOM_GRAPHS_SHRINK_H_

#include <functional>
#include <string>

#include "modellib/tests/random_graphs/generator.h"

namespace modellib {

// What is wrong with a case; empty if nothing is.
using Check = std::function<std::string(const GraphCase&)>;

// Drops outputs and assignments, and puts inputs in the place of computed values, as long as the
// check still fails; every step is tried from the largest cut to the smallest. `failing` fails.
GraphCase shrink(const GraphCase& failing, const Check& check);

// The failure of a case that fails, shrunk, with the text of the graph: for a test's message.
std::string shrunk_failure(const GraphCase& failing, const Check& check);

}  // namespace modellib

#endif  // MODELLIB_TESTS_RANDOM_GRAPHS_SHRINK_H_
