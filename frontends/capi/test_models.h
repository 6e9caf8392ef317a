// Models of the tests of the C API, in the text form.
#ifndef MODELLIB_FRONTENDS_CAPI_TEST_MODELS_H_
#define MODELLIB_FRONTENDS_CAPI_TEST_MODELS_H_

namespace modellib {

// A counter that runs change, and one of each session's own.
inline constexpr char kCounters[] = R"(graph "count" (x: f32[2]) {
  total: var f32[2] "total"
  mine: session var f32[2] "mine"
  t = add(total, x)
  m = add(mine, x)
  assign "total" = t
  assign "mine" = m
  return t, m
}
graph "initialize" (seed: i64[]) {
  total: var f32[2] "total"
  zero = constant() {value: f32[2] [0, 0]}
  assign "total" = zero
})";

}  // namespace modellib

#endif  // MODELLIB_FRONTENDS_CAPI_TEST_MODELS_H_
