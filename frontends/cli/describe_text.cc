#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/frontends/cli/describe.h"

namespace modellib::cli {
namespace {

std::string cell(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {
    char buffer[32];
    std::snprintf(buffer, sizeof(buffer), "%.3f", value.get<double>());
    return buffer;
  }
  return json_text(value, /*indent=*/-1);
}

// Rows of objects as a table whose columns are their keys, in the order of first use.
std::string table(const Json& rows, const std::string& margin) {
  std::vector<std::string> columns;
  for (const Json& row : rows) {
    for (const auto& [key, value] : row.items()) {
      if (std::find(columns.begin(), columns.end(), key) == columns.end()) columns.push_back(key);
    }
  }
  std::vector<size_t> width;
  for (const std::string& column : columns) {
    size_t w = column.size();
    for (const Json& row : rows) {
      if (row.contains(column)) w = std::max(w, cell(row[column]).size());
    }
    width.push_back(w);
  }
  std::string out;
  const auto line = [&](auto text_of) {
    std::string text = margin;
    for (size_t c = 0; c < columns.size(); ++c) {
      std::string t = text_of(columns[c]);
      t.resize(std::max(t.size(), width[c]), ' ');
      absl::StrAppend(&text, t, "  ");
    }
    text.erase(text.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, text, "\n");
  };
  line([](const std::string& column) { return column; });
  for (const Json& row : rows) {
    line([&](const std::string& column) {
      return row.contains(column) ? cell(row[column]) : std::string();
    });
  }
  return out;
}

void describe(const Json& object, const std::string& margin, std::string& out) {
  for (const auto& [key, value] : object.items()) {
    if (value.empty() && value.is_structured()) continue;
    const bool objects = value.is_array() && value[0].is_object();
    if (objects && key == "entries") {
      for (const Json& e : value) {
        absl::StrAppend(&out, "\n", margin, "entry ", cell(e["name"]), "\n");
        describe(e, margin + "  ", out);
      }
    } else if (objects) {
      absl::StrAppend(&out, margin, key, ":\n", table(value, margin + "  "));
    } else if (value.is_array()) {
      std::vector<std::string> items;
      for (const Json& item : value) items.push_back(cell(item));
      absl::StrAppend(&out, margin, key, ": ", absl::StrJoin(items, ", "), "\n");
    } else if (value.is_object()) {
      absl::StrAppend(&out, margin, key, ":\n");
      describe(value, margin + "  ", out);
    } else {
      absl::StrAppend(&out, margin, key, ": ", cell(value), "\n");
    }
  }
}

}  // namespace

std::string as_text(const Json& description) {
  std::string out;
  describe(description, "", out);
  return out;
}

}  // namespace modellib::cli
