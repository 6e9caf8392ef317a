// Imports an ONNX model, lists what goes in and out, and runs it: tells what files are, from their
// content alone. The model is Google's magika; tools/setup fetches it.
//
//   file_type build/data/models/magika.onnx build/data/models/magika.json FILE...
#include <algorithm>
#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include "modellib/modellib.hpp"
#include "nlohmann/json.hpp"

namespace ml = modellib::api;

namespace {

constexpr int64_t kEnd = 1024;     // bytes that the model sees of each end of a file
constexpr int32_t kPadding = 256;  // stands for bytes of a shorter file; real ones are below

ml::Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)), {});
  if (!file) return ml::Status(MODELLIB_NOT_FOUND, path + ": cannot be read");
  return content;
}

// The model's input: the first bytes after leading white space, the last before what trails.
void append_features(const std::string& content, std::vector<int32_t>& features) {
  const auto visible = [](unsigned char c) { return std::isspace(c) == 0; };
  const auto begin = std::find_if(content.begin(), content.end(), visible);
  const auto end = std::find_if(content.rbegin(), content.rend(), visible);
  const size_t row = features.size();
  features.resize(row + 2 * kEnd, kPadding);
  const auto head = std::min<int64_t>(kEnd, content.end() - begin);
  const auto tail = std::min<int64_t>(kEnd, content.rend() - end);
  const auto byte = [](char c) { return static_cast<unsigned char>(c); };
  std::transform(begin, begin + head, features.begin() + static_cast<int64_t>(row), byte);
  std::transform(end, end + tail, features.rbegin(), byte);
}

void print_tensor(const char* kind, const modellib_tensor_info& info) {
  std::printf("%s %s [", kind, info.name);
  for (int32_t d = 0; d < info.rank; ++d) {
    std::printf("%s%" PRId64, d == 0 ? "" : ", ", info.max_extents[d]);
  }
  std::printf("]%s\n", info.dynamic != 0 ? " at most" : "");
}

ml::Status tell_types(const std::string& model, const std::string& labels_file,
                      const std::vector<std::string>& files) {
  // The batch is the one dimension that the model leaves open, under a name of its exporter's.
  const auto count = static_cast<int64_t>(files.size());
  ml::CompileOptions options;
  options.dims = {{"unk__214", 1, count}};
  ml::Result<ml::Plan> plan = ml::compile(model, options);
  if (!plan) return plan.status();
  const ml::Result<modellib_tensor_info> input = plan->input_info(0, 0);
  if (!input) return input.status();
  const ml::Result<modellib_tensor_info> output = plan->output_info(0, 0);
  if (!output) return output.status();
  print_tensor("input ", *input);
  print_tensor("output", *output);

  const ml::Result<std::string> text = read_file(labels_file);
  if (!text) return text.status();
  const nlohmann::json config = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.contains("target_labels_space")) {
    return {MODELLIB_INVALID_ARGUMENT, labels_file + ": has no labels"};
  }
  const std::vector<std::string> labels = config["target_labels_space"];

  std::vector<int32_t> features;
  for (const std::string& file : files) {
    const ml::Result<std::string> content = read_file(file);
    if (!content) return content.status();
    append_features(*content, features);
  }
  ml::Result<ml::Session> session = ml::Session::create(*plan);
  if (!session) return session.status();
  if (ml::Status s = session->bind_input(0, 0, features.data(), {count, 2 * kEnd}); !s) return s;
  if (ml::Status s = session->run(0); !s) return s;
  const ml::Result<ml::Tensor> scores = session->output(0, 0);
  if (!scores) return scores.status();
  if (scores->extents.back() != static_cast<int64_t>(labels.size())) {
    return {MODELLIB_INVALID_ARGUMENT, "the model has other labels than " + labels_file};
  }

  const float* row = scores->as<float>();
  std::vector<size_t> order(labels.size());
  for (const std::string& file : files) {
    std::iota(order.begin(), order.end(), size_t{0});
    std::partial_sort(order.begin(), order.begin() + 3, order.end(),
                      [&](size_t a, size_t b) { return row[a] > row[b]; });
    std::printf("%s:", file.substr(file.rfind('/') + 1).c_str());
    for (size_t i = 0; i < 3 && row[order[i]] > 0.005f; ++i) {
      std::printf(" %s %.2f", labels[order[i]].c_str(), row[order[i]]);
    }
    std::printf("\n");
    row += labels.size();
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: file_type MODEL LABELS FILE...\n");
    return 2;
  }
  const ml::Status status = tell_types(argv[1], argv[2], {argv + 3, argv + argc});
  if (!status) std::fprintf(stderr, "file_type: %s\n", status.message().c_str());
  return status ? 0 : 1;
}
