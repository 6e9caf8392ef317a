// Deterministic tensors for the goldens: the weights and batches that the Python scripts used, made
// again here bit for bit, so that nothing large is stored. formula.md explains the arithmetic and
// formula.py is the same in Python.

#ifndef MODELLIB_TESTS_GOLDENS_FORMULA_H_
#define MODELLIB_TESTS_GOLDENS_FORMULA_H_

#include <cstdint>
#include <vector>

namespace modellib::goldens {

// One step of the splitmix64 generator, as a hash.
constexpr uint64_t mix(uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// 64 random bits for one element (row-major index) of one tensor of a golden.
constexpr uint64_t bits(uint64_t seed, uint64_t tensor, uint64_t element) {
  return mix(mix(mix(seed) ^ tensor) ^ element);
}

// A value in [offset - scale, offset + scale]. `scale` is a power of two: the product is then exact
// and a fused multiply-add gives the same bits.
constexpr float uniform(uint64_t seed, uint64_t tensor, uint64_t element, double scale,
                        double offset = 0.0) {
  const double unit = static_cast<double>(bits(seed, tensor, element) >> 11) * 0x1p-53;
  return static_cast<float>(offset + scale * (2.0 * unit - 1.0));
}

// A value from 0 to n - 1, for n > 0.
constexpr int64_t integer(uint64_t seed, uint64_t tensor, uint64_t element, uint64_t n) {
  return static_cast<int64_t>(bits(seed, tensor, element) % n);
}

// The first `count` elements of a tensor, row-major.
inline std::vector<float> uniform_tensor(uint64_t seed, uint64_t tensor, int64_t count,
                                         double scale, double offset = 0.0) {
  std::vector<float> values;
  values.reserve(count);
  for (int64_t i = 0; i < count; ++i) values.push_back(uniform(seed, tensor, i, scale, offset));
  return values;
}

}  // namespace modellib::goldens

#endif  // MODELLIB_TESTS_GOLDENS_FORMULA_H_
