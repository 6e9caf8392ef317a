// What functions that emit several nodes refuse. No op's inference sees it for them, or only after
// something was read or written out of bounds.
#include <gmock/gmock.h>

#include <cstdint>
#include <string>
#include <vector>

#include "modellib/graph/builder.h"
#include "modellib/ops/reduce.h"
#include "modellib/ops/registry.h"
#include "modellib/ops/statistics.h"

namespace modellib {
namespace {

using testing::HasSubstr;

// What is wrong with what `call` makes of an f32 input of this shape; empty: nothing.
template <class Call>
std::string mistake(const Shape& shape, const Call& call) {
  GraphBuilder b(builtin_ops());
  call(b.input("x", {DType::kF32, shape}));
  return std::string(b.status().message());
}

TEST(Refusals, AStatisticOverAnAxisThatIsNotThere) {
  for (const int64_t axis : {int64_t{2}, int64_t{-3}, int64_t{1} << 30}) {
    const std::vector<int64_t> axes = {axis};
    EXPECT_THAT(mistake({2, 3}, [&](Value x) { variance(x, {.axes = axes}); }), HasSubstr("axis"));
    EXPECT_THAT(mistake({2, 3}, [&](Value x) { count_along(x, axes); }), HasSubstr("axis"));
  }
  EXPECT_EQ(mistake({2, 3}, [](Value x) { variance(x, {.axes = {-1}}); }), "");
}

}  // namespace
}  // namespace modellib
