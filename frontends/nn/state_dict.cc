#include "modellib/frontends/nn/state_dict.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "modellib/frontends/nn/attention.h"
#include "modellib/graph/status_macros.h"

namespace modellib::nn {
namespace {

std::string to_text(const Tensor& t) {
  return absl::StrCat(to_string(t.dtype()), "[", absl::StrJoin(t.shape(), ","), "]");
}

// Rows [part · rows, (part + 1) · rows) of a tensor of 3 · rows.
absl::StatusOr<Tensor> third(const Tensor& packed, int64_t part) {
  std::vector<int64_t> shape = packed.shape();
  if (shape.empty() || shape[0] % 3 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot be split in three: ", to_text(packed)));
  }
  shape[0] /= 3;
  const int64_t bytes = packed.bytes() / 3;
  return Tensor::borrowed(packed.dtype(), shape, packed.data() + part * bytes,
                          static_cast<size_t>(bytes), std::make_shared<const Tensor>(packed));
}

absl::Status split_projections(const std::string& path, StateDict& state) {
  const std::string prefix = path.empty() ? "" : path + ".";
  for (const char* kind : {"weight", "bias"}) {
    const auto packed = state.find(absl::StrCat(prefix, "in_proj_", kind));
    if (packed == state.end()) continue;
    int64_t part = 0;
    for (const char* projection : {"q_proj", "k_proj", "v_proj"}) {
      absl::StatusOr<Tensor> rows = third(packed->second, part++);
      if (!rows.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat(packed->first, " ", rows.status().message()));
      }
      const std::string name = absl::StrCat(prefix, projection, ".", kind);
      if (!state.try_emplace(name, *std::move(rows)).second) {
        return absl::InvalidArgumentError(absl::StrCat(
            "the state has both '", packed->first, "' and '", name, "', which is a part of it"));
      }
    }
    state.erase(packed);
  }
  return absl::OkStatus();
}

// Leaves one tensor for each tied parameter, under the first of its names. Faults are those whose
// contents differ.
std::vector<std::string> join_tied(const Module& module, StateDict& state) {
  std::vector<std::string> faults;
  std::vector<std::pair<std::string, Parameter>> firsts;
  for (const auto& [name, p] : module.named_state()) {
    const auto first = std::find_if(firsts.begin(), firsts.end(), [&p = p](const auto& other) {
      return other.second.same_as(p);
    });
    if (first == firsts.end()) {
      firsts.emplace_back(name, p);
      continue;
    }
    const auto alias = state.find(name);
    if (alias == state.end()) continue;
    const auto [kept, is_new] = state.try_emplace(first->first, alias->second);
    if (!is_new && !kept->second.identical(alias->second)) {
      faults.push_back(absl::StrCat("'", name, "' is tied to '", first->first, "' and differs"));
    }
    state.erase(alias);
  }
  return faults;
}

}  // namespace

absl::StatusOr<StateDict> own_names(const Module& module, StateDict state) {
  for (const auto& [path, m] : module.named_modules()) {
    if (dynamic_cast<const MultiHeadAttention*>(m) == nullptr) continue;
    MODELLIB_RETURN_IF_ERROR(split_projections(path, state));
  }
  for (auto it = state.begin(); it != state.end();) {
    it = absl::EndsWith(it->first, "num_batches_tracked") ? state.erase(it) : std::next(it);
  }
  return state;
}

absl::Status load_state(Module& module, const StateDict& given) {
  MODELLIB_ASSIGN_OR_RETURN(StateDict state, own_names(module, given));
  std::vector<std::pair<std::string, Parameter>> wanted = module.named_parameters();
  for (auto& buffer : module.named_buffers()) wanted.push_back(std::move(buffer));
  std::vector<std::string> faults = join_tied(module, state);
  std::vector<std::pair<Parameter, Tensor>> found;
  for (auto& [name, p] : wanted) {
    const auto it = state.find(name);
    const std::string expected =
        absl::StrCat(to_string(p.dtype()), "[", absl::StrJoin(p.shape(), ","), "]");
    if (it == state.end()) {
      faults.push_back(absl::StrCat("'", name, "' is missing: ", expected));
      continue;
    }
    if (it->second.dtype() != p.dtype() || it->second.shape() != p.shape()) {
      faults.push_back(
          absl::StrCat("'", name, "' is ", to_text(it->second), ", expected ", expected));
    }
    found.emplace_back(p, it->second);
    state.erase(it);
  }
  for (const auto& [name, tensor] : state) {
    faults.push_back(absl::StrCat("'", name, "' is unknown to the model"));
  }
  if (!faults.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the state does not fit the model:\n  ", absl::StrJoin(faults, "\n  ")));
  }
  for (auto& [p, tensor] : found) p.set_initializer(init::tensor(tensor));
  return absl::OkStatus();
}

}  // namespace modellib::nn
