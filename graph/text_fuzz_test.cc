// Any text gives a program or a Status. What parses, prints; and what was printed parses again to
// the same text.
#include <cstdint>
#include <cstdlib>

#include "modellib/graph/testing_ops.h"
#include "modellib/graph/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<Program> program = parse_program(text, testing::ops());
  if (!program.ok()) return 0;
  SideData side;
  const std::string once = print(*program, {.side_data = &side});
  const absl::StatusOr<Program> again = parse_program(once, testing::ops(), side);
  if (!again.ok() || print(*again) != once) std::abort();
  return 0;
}
