// What commands print. It stands on the standard output whole, or the program says that it does
// not.
#ifndef MODELLIB_FRONTENDS_CLI_OUTPUT_H_
#define MODELLIB_FRONTENDS_CLI_OUTPUT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace modellib::cli {

using Json = nlohmann::ordered_json;

// Names in models are any bytes, JSON is UTF-8: what is none stands there as U+FFFD. An indent of
// -1 writes one line.
std::string json_text(const Json& value, int indent = 2);

// Writes the text as it is, zero bytes too.
void print_text(absl::string_view text);

// Once, before anything is printed: a pipe that nobody reads is an error like any other and no
// signal, and no file that is opened gets the number of a standard stream that the caller closed.
void prepare_output();
// Once, when all is printed. DataLoss if part of it was not written.
absl::Status finish_output();

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_OUTPUT_H_
