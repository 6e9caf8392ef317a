// Turns drawings in DOT into SVG files, by Graphviz.
#ifndef MODELLIB_FRONTENDS_CLI_GRAPHVIZ_H_
#define MODELLIB_FRONTENDS_CLI_GRAPHVIZ_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace modellib::cli {

// Runs `dot -Tsvg`. Unimplemented where the machine has no Graphviz.
absl::Status write_svg(absl::string_view dot, const std::string& path);

}  // namespace modellib::cli

#endif  // MODELLIB_FRONTENDS_CLI_GRAPHVIZ_H_
