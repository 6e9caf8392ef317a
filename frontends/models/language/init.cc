#include "modellib/frontends/models/language/init.h"

#include "absl/strings/str_cat.h"
#include "modellib/ops/shape.h"

namespace modellib::language {

Value first_positions(const nn::Embedding& table, const Value& ids) {
  const Dim length = ids.dim(1);
  if (length.is_static() && length.value() > table.num_embeddings) {
    return ids.builder()->poison(absl::InvalidArgumentError(
        absl::StrCat(length.value(), " tokens, but only ", table.num_embeddings, " positions")));
  }
  return slice_axis(table.weight.read(ids), 0, 0, length);
}

}  // namespace modellib::language
