// What a pass is: a function from one graph to another that keeps its meaning.
#ifndef MODELLIB_PASSES_PASS_H_
#define MODELLIB_PASSES_PASS_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "modellib/graph/graph.h"
#include "modellib/graph/op_def.h"

namespace modellib {

class Backend;

// How much more the passes may compute themselves, by reference kernels, which are slow: counted in
// products of a matmul, that take some nanoseconds each. And the bytes that they may read or write
// doing so, beyond some for each byte of constants that a graph came with.
struct ComputeBudget {
  double left = 0x1p31;  // about ten seconds
  int64_t bytes = int64_t{64} << 20;
  // Takes of it; false, and nothing is taken, where less is left.
  bool take(double work) {
    if (work > left) return false;
    left -= work;
    return true;
  }
};

// What a pass may use and tell. One context serves one pass over one graph.
class PassContext {
 public:
  PassContext(const OpRegistry& registry, const Backend* backend)
      : registry_(registry), backend_(backend) {}

  const OpRegistry& registry() const { return registry_; }
  // The device that is compiled for; null in passes that do not depend on one.
  const Backend* backend() const { return backend_; }

  // A pass asks before each rewrite and counts it by asking. False once the budget of rewrites is
  // spent: the pass then leaves the node as it is. For bisection.
  bool may_rewrite() {
    if (rewrites_ >= max_rewrites_) return false;
    ++rewrites_;
    return true;
  }
  // Whether the budget is spent, without asking for more.
  bool exhausted() const { return rewrites_ >= max_rewrites_; }
  int64_t rewrites() const { return rewrites_; }
  void set_max_rewrites(int64_t count) { max_rewrites_ = count; }

  // One budget for the graph and all regions in it; the runner's, where it shares one.
  ComputeBudget& compute() { return shared_compute_ == nullptr ? own_compute_ : *shared_compute_; }
  // `budget` must outlive this.
  void share_compute(ComputeBudget* budget) { shared_compute_ = budget; }

  // A remark for people, kept when explanations are asked for.
  void explain(absl::string_view remark) {
    if (explaining_) remarks_.emplace_back(remark);
  }
  bool explaining() const { return explaining_; }
  void set_explaining(bool on) { explaining_ = on; }
  const std::vector<std::string>& remarks() const { return remarks_; }

 private:
  const OpRegistry& registry_;
  const Backend* backend_;
  int64_t rewrites_ = 0;
  int64_t max_rewrites_ = std::numeric_limits<int64_t>::max();
  ComputeBudget own_compute_;
  ComputeBudget* shared_compute_ = nullptr;
  bool explaining_ = false;
  std::vector<std::string> remarks_;
};

struct Pass {
  const char* name;         // as used in pipelines: "fold-constants"
  const char* description;  // one sentence
  absl::StatusOr<GraphRef> (*run)(const GraphRef&, PassContext&);
  bool optional = false;  // not in the default pipeline: it changes what is computed
};

}  // namespace modellib

#endif  // MODELLIB_PASSES_PASS_H_
