#include "modellib/passes/timeline_svg.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "flatbuffers/util.h"

namespace modellib {
namespace {

constexpr int kLeft = 84;  // room for the labels of bytes
constexpr int kRight = 16;
constexpr int kTop = 34;     // of a panel: its caption
constexpr int kBottom = 34;  // the labels of steps
constexpr int kTitle = 36;

// Names are any bytes: what is no UTF-8, or no character of XML, stands there as U+FFFD, as in
// JSON.
std::string escape(absl::string_view name) {
  const std::string text(name);  // FromUTF8 ends at a zero
  std::string out;
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    const char* next = at;
    const int code = flatbuffers::FromUTF8(&next);
    if (code < 0 || (code | 1) == 0xffff) {
      out += "\xef\xbf\xbd";
      ++at;
      continue;
    }
    switch (code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // Control characters are not allowed in XML at all.
        code < 0x20 ? out.append(" ") : out.append(at, next);
    }
    at = next;
  }
  return out;
}

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 6) {
    bytes /= 1024;
    ++unit;
  }
  const bool whole = bytes == static_cast<double>(static_cast<int64_t>(bytes));
  return whole ? absl::StrFormat("%.0f %s", bytes, units[unit])
               : absl::StrFormat("%.2f %s", bytes, units[unit]);
}

// FNV-1a of the letters of the name: numbers differ between layers of the same kind, so they don't
// count.
uint32_t hue(absl::string_view name) {
  uint32_t hash = 2166136261u;
  for (char c : name) {
    if (c >= '0' && c <= '9') continue;
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  return hash % 360;
}

// 1, 2 or 5 times a power of ten, so that about `count` of them make `range`.
double tick(double range, int count) {
  double step = 1;
  while (step * count < range) step *= 10;
  while (step / 10 * count >= range && step > 1) step /= 10;
  for (double factor : {0.2, 0.5}) {
    if (step * factor * count >= range && step * factor >= 1) return step * factor;
  }
  return step;
}

double binary_tick(double range, int count) {
  double step = 1;
  while (step * count < range) step *= 2;
  return step;
}

struct Rectangle {
  int record;
  int64_t first, last;
};

class Panel {
 public:
  Panel(absl::Span<const MemoryRecord> records, const MemoryPlan& plan,
        const MemoryPlan::Arena& arena, const TimelineOptions& options, int top, std::string* out)
      : records_(records), plan_(plan), arena_(arena), options_(options), top_(top), out_(*out) {}

  void draw(const std::vector<Rectangle>& rectangles) {
    begin_ = std::numeric_limits<double>::max();
    double end = std::numeric_limits<double>::lowest();
    for (const Rectangle& r : rectangles) {
      begin_ = std::min(begin_, static_cast<double>(r.first));
      end = std::max(end, static_cast<double>(r.last) + 1);
    }
    steps_ = std::max(1.0, end - begin_);
    caption();
    axes();
    for (const Rectangle& r : rectangles) rectangle(r);
    curve(rectangles);
    bound();
  }

 private:
  double plot_width() const { return options_.width - kLeft - kRight; }
  double plot_height() const { return options_.height - kTop - kBottom; }
  double x(double step) const { return kLeft + (step - begin_) / steps_ * plot_width(); }
  double y(double bytes) const {
    return top_ + kTop + plot_height() * (1 - bytes / static_cast<double>(arena_.bytes));
  }

  void caption() {
    const double ratio = arena_.lower_bound > 0 ? static_cast<double>(arena_.bytes) /
                                                      static_cast<double>(arena_.lower_bound)
                                                : 1.0;
    absl::StrAppendFormat(
        &out_,
        "<text x=\"%d\" y=\"%d\" class=\"c\">arena %d: %s planned, lower bound %s, ratio %.3f "
        "(%s)</text>\n",
        kLeft, top_ + 20, arena_.arena, bytes_text(static_cast<double>(arena_.bytes)),
        bytes_text(static_cast<double>(arena_.lower_bound)), ratio, escape(arena_.strategy));
  }

  void axes() {
    absl::StrAppendFormat(
        &out_, "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"f\"/>\n", kLeft,
        y(static_cast<double>(arena_.bytes)), plot_width(), plot_height());
    const double bytes = static_cast<double>(arena_.bytes);
    const double byte_step = binary_tick(bytes, 8);
    for (double b = 0; b <= bytes; b += byte_step) {
      absl::StrAppendFormat(
          &out_,
          "<path d=\"M%d %.1fH%d\" class=\"g\"/><text x=\"%d\" y=\"%.1f\" class=\"b\">%s</text>\n",
          kLeft, y(b), options_.width - kRight, kLeft - 6, y(b) + 4, bytes_text(b));
    }
    const double step = tick(steps_, 12);
    for (double s = 0; s < steps_; s += step) {
      absl::StrAppendFormat(&out_, "<text x=\"%.1f\" y=\"%d\" class=\"s\">%.0f</text>\n",
                            x(begin_ + s), top_ + options_.height - kBottom + 16, begin_ + s);
    }
  }

  void rectangle(const Rectangle& r) {
    const MemoryRecord& record = records_[r.record];
    const double low = static_cast<double>(plan_.offsets[r.record]);
    const double left = x(static_cast<double>(r.first));
    const double width = x(static_cast<double>(r.last) + 1) - left;
    const double upper = y(low + static_cast<double>(record.size));
    const double height = y(low) - upper;
    const std::string name =
        record.name.empty() ? absl::StrCat("record ", record.id) : escape(record.name);
    absl::StrAppendFormat(
        &out_,
        "<g><title>%s: %s at offset %d, steps %d to %d</title>"
        "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"hsl(%d,60%%,75%%)\"/>",
        name, bytes_text(static_cast<double>(record.size)), plan_.offsets[r.record], r.first,
        r.last, left, upper, std::max(width, 0.5), std::max(height, 0.5), hue(record.name));
    // Letters of 10 px are about 6 wide.
    if (height >= 11 && width >= 6.0 * static_cast<double>(name.size()) + 4) {
      absl::StrAppendFormat(&out_, "<text x=\"%.1f\" y=\"%.1f\" class=\"l\">%s</text>",
                            left + width / 2, upper + height / 2 + 3.5, name);
    }
    out_ += "</g>\n";
  }

  // The sum of live bytes over time, at most a few points for each pixel.
  void curve(const std::vector<Rectangle>& rectangles) {
    std::map<int64_t, double> change;
    for (const Rectangle& r : rectangles) {
      const double size = static_cast<double>(records_[r.record].size);
      change[r.first] += size;
      if (r.last < std::numeric_limits<int64_t>::max()) change[r.last + 1] -= size;
    }
    out_ += "<path class=\"u\" d=\"";
    double live = 0;
    bool started = false;
    double column = 0, highest = 0, lowest = 0;
    const auto point = [&](double px, double bytes) {
      absl::StrAppendFormat(&out_, "%s%.1f %.1f", started ? "L" : "M", px, y(bytes));
      started = true;
    };
    const auto flush = [&] {
      point(column, highest);
      if (lowest < highest) point(column, lowest);
    };
    bool open = false;
    for (const auto& [step, delta] : change) {
      const double px = x(static_cast<double>(step));
      const double before = live;
      live += delta;
      if (open && px - column < 0.5) {
        highest = std::max(highest, live);
        lowest = std::min(lowest, live);
        continue;
      }
      if (open) {
        flush();
        point(column, before);
        point(px, before);
      }
      column = px;
      highest = std::max(before, live);
      lowest = std::min(before, live);
      open = true;
    }
    if (open) flush();
    out_ += "\"><title>sum of live bytes</title></path>\n";
  }

  void bound() {
    absl::StrAppendFormat(
        &out_,
        "<path d=\"M%d %.1fH%d\" class=\"o\"><title>lower bound: %s at step %d</title></path>\n",
        kLeft, y(static_cast<double>(arena_.lower_bound)), options_.width - kRight,
        bytes_text(static_cast<double>(arena_.lower_bound)), arena_.peak);
  }

  absl::Span<const MemoryRecord> records_;
  const MemoryPlan& plan_;
  const MemoryPlan::Arena& arena_;
  const TimelineOptions& options_;
  const int top_;
  std::string& out_;
  double begin_ = 0;
  double steps_ = 1;
};

}  // namespace

absl::StatusOr<std::string> timeline_svg(absl::Span<const MemoryRecord> records,
                                         const MemoryPlan& plan, const TimelineOptions& options) {
  if (plan.offsets.size() != records.size() || plan.roots.size() != records.size()) {
    return absl::InvalidArgumentError(absl::StrCat("timeline_svg: a plan of ", plan.offsets.size(),
                                                   " offsets for ", records.size(), " records"));
  }
  if (options.width < 320 || options.height < 160 || options.width > 100000 ||
      options.height > 100000) {
    return absl::InvalidArgumentError(absl::StrCat("timeline_svg: a canvas of ", options.width,
                                                   " x ", options.height,
                                                   ", expected at least 320 x 160"));
  }
  // Roots live as long as all that lies in them.
  std::vector<Rectangle> hulls(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    hulls[i] = {static_cast<int>(i), records[i].first, records[i].last};
  }
  for (size_t i = 0; i < records.size(); ++i) {
    const int root = plan.roots[i];
    if (root < 0 || static_cast<size_t>(root) >= records.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("timeline_svg: record ", i, " has root ", root));
    }
    hulls[root].first = std::min(hulls[root].first, records[i].first);
    hulls[root].last = std::max(hulls[root].last, records[i].last);
  }
  std::map<int, std::vector<Rectangle>> by_arena;
  for (size_t i = 0; i < records.size(); ++i) {
    if (plan.roots[i] == static_cast<int>(i) && records[i].size > 0) {
      by_arena[records[i].arena].push_back(hulls[i]);
    }
  }
  int panels = 0;
  for (const MemoryPlan::Arena& arena : plan.arenas) panels += arena.bytes > 0;
  const int height = kTitle + panels * options.height;

  std::string out;
  absl::StrAppendFormat(
      &out,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d "
      "%d\">\n"
      "<style>text{font:11px sans-serif;fill:#333}.t{font-size:15px}.c{font-size:12px}"
      ".b{text-anchor:end}.l{font-size:10px;text-anchor:middle;pointer-events:none}"
      ".f{fill:#fafafa;stroke:#999}.g{stroke:#ddd}g rect{stroke:#555;stroke-width:.3}"
      ".u{fill:none;stroke:#b00;stroke-width:1.2}.o{stroke:#b00;stroke-dasharray:5 4}</style>\n"
      "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
      options.width, height, options.width, height, options.width, height);
  absl::StrAppendFormat(&out, "<text x=\"%d\" y=\"24\" class=\"t\">%s</text>\n", kLeft,
                        escape(options.title.empty() ? "Memory over the schedule" : options.title));
  int top = kTitle;
  for (const MemoryPlan::Arena& arena : plan.arenas) {
    if (arena.bytes <= 0) continue;
    Panel(records, plan, arena, options, top, &out).draw(by_arena[arena.arena]);
    top += options.height;
  }
  out += "</svg>\n";
  return out;
}

}  // namespace modellib
