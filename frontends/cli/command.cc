#include "modellib/frontends/cli/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "modellib/passes/pipeline.h"

namespace modellib::cli {
namespace {

// What a status of wrong usage carries.
constexpr char kWrongUsage[] = "modellib.cli/wrong_usage";

// False for what is neither "name=8" nor "name=1..1000".
bool parse_dim_range(absl::string_view text, std::string& name, DimRange& range) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) return false;
  name = std::string(text.substr(0, equals));
  const absl::string_view value = text.substr(equals + 1);
  const size_t dots = value.find("..");
  if (dots == absl::string_view::npos) {
    if (!absl::SimpleAtoi(value, &range.min)) return false;
    range.max = range.min;
  } else if (!absl::SimpleAtoi(value.substr(0, dots), &range.min) ||
             !absl::SimpleAtoi(value.substr(dots + 2), &range.max)) {
    return false;
  }
  return range.min >= 0 && range.min <= range.max;
}

}  // namespace

absl::Status wrong_usage(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kWrongUsage, absl::Cord());
  return status;
}

int exit_code(const absl::Status& status) {
  if (status.ok()) return 0;
  if (status.GetPayload(kWrongUsage).has_value()) return 2;
  return status.code() == absl::StatusCode::kUnimplemented ? 3 : 1;
}

CLI::Validator finite_number(double min, double max) {
  const bool bounded = max < std::numeric_limits<double>::max();
  const std::string wanted = bounded ? absl::StrCat("a number from ", min, " to ", max)
                                     : absl::StrCat("a number of at least ", min);
  const auto check = [=](const std::string& text) -> std::string {
    double number = 0;
    // NaN is in no range.
    const bool fits = absl::SimpleAtod(text, &number) && number >= min && number <= max;
    return fits ? "" : absl::StrCat("expected ", wanted, ", got '", text, "'");
  };
  return CLI::Validator(check, "");
}

void add_dim_option(CLI::App& command, DimRanges& dims) {
  command
      .add_option_function<std::vector<std::string>>(
          "--dim",
          [&dims](const std::vector<std::string>& given) {
            std::set<std::string> named;
            for (const std::string& text : given) {
              std::string name;
              DimRange range;
              if (!parse_dim_range(text, name, range)) {
                throw CLI::ValidationError("--dim",
                                           "expected NAME=8 or NAME=1..1000, got '" + text + "'");
              }
              if (!named.insert(name).second) {
                throw CLI::ValidationError("--dim", "'" + name + "' is given twice");
              }
              dims[name] = range;
            }
          },
          "A free dimension: batch=8 makes it static, batch=1..1000 bounds it")
      ->type_name("NAME=SIZE")
      ->take_all()
      ->allow_extra_args(false);  // one value each time: what follows is another argument
}

void set_examples(CLI::App& command, const std::vector<std::string>& examples) {
  command.footer(absl::StrCat("Examples:\n  ", absl::StrJoin(examples, "\n  ")));
}

void add_disable_option(CLI::App& command, const std::string& name, const std::string& description,
                        std::vector<std::string>& disabled) {
  command
      .add_option_function<std::vector<std::string>>(
          name,
          [name, &disabled](const std::vector<std::string>& given) {
            const std::vector<std::string> passes = default_pipeline();
            for (const std::string& pass : given) {
              if (pass == "all") {
                for (const std::string& each : passes) {
                  if (!is_mandatory_pass(each)) disabled.push_back(each);
                }
              } else if (std::find(passes.begin(), passes.end(), pass) != passes.end()) {
                disabled.push_back(pass);
              } else {
                throw CLI::ValidationError(
                    name,
                    absl::StrCat("no pass '", pass, "'; there are: ", absl::StrJoin(passes, ", ")));
              }
            }
          },
          description + "; all: each that can be; may be given several times")
      ->type_name("PASS")
      ->take_all()
      ->allow_extra_args(false);
}

}  // namespace modellib::cli
