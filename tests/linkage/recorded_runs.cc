#include "modellib/tests/linkage/recorded_runs.h"

#include <cstdint>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace modellib {
namespace {

// All numbers are 64 bits wide, in the machine's order.
class Writer {
 public:
  explicit Writer(const std::string& path) : file_(path, std::ios::binary) {}
  void number(int64_t n) { bytes(&n, sizeof(n)); }
  void text(const std::string& s) {
    number(static_cast<int64_t>(s.size()));
    bytes(s.data(), s.size());
  }
  void tensor(const Tensor& t) {
    number(static_cast<int64_t>(t.dtype()));
    number(t.rank());
    for (const int64_t extent : t.shape()) number(extent);
    bytes(t.data(), static_cast<size_t>(t.bytes()));
  }
  void tensors(const std::vector<Tensor>& list) {
    number(static_cast<int64_t>(list.size()));
    for (const Tensor& t : list) tensor(t);
  }
  void variables(const RecordedRuns::Variables& list) {
    number(static_cast<int64_t>(list.size()));
    for (const auto& [name, value] : list) {
      text(name);
      tensor(value);
    }
  }
  bool ok() const { return file_.good(); }

 private:
  void bytes(const void* data, size_t size) {
    file_.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  }
  std::ofstream file_;
};

class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path, std::ios::binary) {}
  int64_t number() {
    int64_t n = 0;
    bytes(&n, sizeof(n));
    return n;
  }
  std::string text() {
    std::string s(static_cast<size_t>(number()), ' ');
    bytes(s.data(), s.size());
    return s;
  }
  Tensor tensor() {
    const auto dtype = static_cast<DType>(number());
    std::vector<int64_t> shape(static_cast<size_t>(number()));
    for (int64_t& extent : shape) extent = number();
    absl::StatusOr<Tensor> t = Tensor::zeros(dtype, shape);
    if (!t.ok()) {
      file_.setstate(std::ios::failbit);
      return Tensor();
    }
    bytes(t->mutable_data(), static_cast<size_t>(t->bytes()));
    return *std::move(t);
  }
  std::vector<Tensor> tensors() {
    std::vector<Tensor> list;
    for (int64_t n = number(); n > 0 && ok(); --n) list.push_back(tensor());
    return list;
  }
  RecordedRuns::Variables variables() {
    RecordedRuns::Variables list;
    for (int64_t n = number(); n > 0 && ok(); --n) {
      std::string name = text();
      list.emplace_back(std::move(name), tensor());
    }
    return list;
  }
  bool ok() const { return file_.good(); }

 private:
  void bytes(void* data, size_t size) {
    file_.read(static_cast<char*>(data), static_cast<std::streamsize>(size));
  }
  std::ifstream file_;
};

}  // namespace

absl::Status save_runs(const std::string& path, const RecordedRuns& runs) {
  Writer out(path);
  out.variables(runs.before);
  out.number(static_cast<int64_t>(runs.runs.size()));
  for (const RecordedRuns::Run& run : runs.runs) {
    out.text(run.entry);
    out.tensors(run.inputs);
    out.tensors(run.outputs);
  }
  out.variables(runs.after);
  return out.ok() ? absl::OkStatus() : absl::InternalError(absl::StrCat("cannot write ", path));
}

absl::StatusOr<RecordedRuns> load_runs(const std::string& path) {
  Reader in(path);
  RecordedRuns runs;
  runs.before = in.variables();
  for (int64_t n = in.number(); n > 0 && in.ok(); --n) {
    RecordedRuns::Run run;
    run.entry = in.text();
    run.inputs = in.tensors();
    run.outputs = in.tensors();
    runs.runs.push_back(std::move(run));
  }
  runs.after = in.variables();
  if (!in.ok()) return absl::InternalError(absl::StrCat("cannot read ", path));
  return runs;
}

}  // namespace modellib
