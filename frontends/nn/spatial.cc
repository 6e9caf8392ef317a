#include "modellib/frontends/nn/spatial.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace modellib::nn {

bool check_rank(Value& value, std::initializer_list<int> ranks, absl::string_view layer,
                absl::string_view expected) {
  if (value.is_null() || value.is_poisoned()) return false;
  if (std::find(ranks.begin(), ranks.end(), value.rank()) != ranks.end()) return true;
  value = value.builder()->poison(absl::InvalidArgumentError(
      absl::StrCat(layer, " takes ", expected, ", not ", to_string(value.type()))));
  return false;
}

bool check_channels(Value& value, int64_t channels, absl::string_view layer) {
  if (value.is_null() || value.is_poisoned()) return false;
  if (value.rank() < 2) return true;
  const Dim& extent = value.shape()[1];
  if (!extent.is_static() || extent.value() == channels) return true;
  value = value.builder()->poison(absl::InvalidArgumentError(
      absl::StrCat(layer, " over ", channels, " channels cannot take ", to_string(value.type()))));
  return false;
}

}  // namespace modellib::nn
