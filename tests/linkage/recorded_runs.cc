#include "modellib/tests/linkage/recorded_runs.h"

#include <cstdint>
#include <fstream>
#include <utility>

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
  void calls(const ProgramCalls& calls) {
    number(calls.ranks);
    number(static_cast<int64_t>(calls.variables.size()));
    for (const auto& [name, value] : calls.variables) {
      text(name);
      tensor(value);
    }
    number(static_cast<int64_t>(calls.calls.size()));
    for (const ProgramCalls::Call& call : calls.calls) {
      text(call.entry);
      number(call.published ? 1 : 0);
      for (const std::vector<Tensor>& inputs : call.inputs) tensors(inputs);
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
  ProgramCalls calls() {
    ProgramCalls calls;
    calls.ranks = static_cast<int>(number());
    for (int64_t n = number(); n > 0 && ok(); --n) {
      std::string name = text();
      calls.variables.emplace_back(std::move(name), tensor());
    }
    for (int64_t n = number(); n > 0 && ok(); --n) {
      ProgramCalls::Call& call = calls.calls.emplace_back();
      call.entry = text();
      call.published = number() != 0;
      for (int rank = 0; rank < calls.ranks; ++rank) call.inputs.push_back(tensors());
    }
    return calls;
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
  out.calls(runs.calls);
  for (const uint64_t digest : runs.digests) out.number(static_cast<int64_t>(digest));
  out.number(static_cast<int64_t>(runs.variables));
  return out.ok() ? absl::OkStatus() : absl::InternalError(absl::StrCat("cannot write ", path));
}

absl::StatusOr<RecordedRuns> load_runs(const std::string& path) {
  Reader in(path);
  RecordedRuns runs;
  runs.calls = in.calls();
  for (size_t i = 0; i < runs.calls.calls.size(); ++i) {
    runs.digests.push_back(static_cast<uint64_t>(in.number()));
  }
  runs.variables = static_cast<uint64_t>(in.number());
  if (!in.ok()) return absl::InternalError(absl::StrCat("cannot read ", path));
  return runs;
}

}  // namespace modellib
