// What fuzzers of the text form do with an input, for any ops.
#ifndef MODELLIB_GRAPH_TEXT_FUZZ_H_
#define MODELLIB_GRAPH_TEXT_FUZZ_H_

#include <cstdlib>
#include <string>

#include "modellib/graph/text.h"

namespace modellib::testing {

// Any text gives a program or a Status. What parses, prints; and what was printed parses again to
// the same text.
inline void fuzz_text(absl::string_view text, const OpRegistry& ops) {
  const absl::StatusOr<Program> program = parse_program(text, ops);
  if (!program.ok()) return;
  SideData side;
  const std::string once = print(*program, {.side_data = &side});
  const absl::StatusOr<Program> again = parse_program(once, ops, side);
  if (!again.ok() || print(*again) != once) std::abort();
}

}  // namespace modellib::testing

#endif  // MODELLIB_GRAPH_TEXT_FUZZ_H_
