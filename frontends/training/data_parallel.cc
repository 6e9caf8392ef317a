#include "modellib/frontends/training/data_parallel.h"

#include "absl/strings/str_cat.h"
#include "modellib/ops/collectives.h"
#include "modellib/ops/shape.h"

namespace modellib::training {
namespace {

// One collective for the gradients of these numbers.
void average_bucket(absl::Span<const size_t> members, std::vector<Value>& gradients) {
  std::vector<Value> parts;
  std::vector<int64_t> sizes;
  for (size_t i : members) {
    const Value flat = reshape(gradients[i], {element_count(gradients[i].shape())});
    parts.push_back(flat);
    sizes.push_back(flat.dim(0).value());
  }
  const Value mean = all_reduce_mean(parts.size() == 1 ? parts[0] : concat(parts, 0));
  int64_t at = 0;
  for (size_t k = 0; k < members.size(); ++k) {
    Value& gradient = gradients[members[k]];
    gradient = reshape(slice_axis(mean, 0, at, at + sizes[k]), gradient.shape());
    at += sizes[k];
  }
}

}  // namespace

std::vector<Value> average_gradients(GraphBuilder& builder, absl::Span<const Value> gradients,
                                     const DataParallel& options) {
  const GraphBuilder::Scope scope(builder, "all_reduce");
  std::vector<Value> result(gradients.begin(), gradients.end());
  std::vector<size_t> bucket;
  int64_t bytes = 0;
  const auto send = [&] {
    if (!bucket.empty()) average_bucket(bucket, result);
    bucket.clear();
    bytes = 0;
  };
  for (size_t i = result.size(); i-- > 0;) {
    const TensorType& type = result[i].type();
    if (!is_static(type.shape)) {
      builder.poison(absl::InvalidArgumentError(
          absl::StrCat("a gradient of type ", to_string(type), " cannot travel in a bucket")));
      return result;
    }
    if (!bucket.empty() && result[bucket.back()].dtype() != type.dtype) send();
    bucket.push_back(i);
    bytes += element_count(type.shape).value() * bits_of(type.dtype) / 8;
    if (bytes >= options.bucket_bytes) send();
  }
  send();
  return result;
}

}  // namespace modellib::training
