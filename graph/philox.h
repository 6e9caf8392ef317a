// Philox-4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As
// Easy as 1, 2, 3" (2011): random numbers as a pure function of a key, a stream and an element's
// index. So sharding, rematerialisation and fusion leave the bits alone. Every executor agrees on
// this file.
#ifndef MODELLIB_GRAPH_PHILOX_H_
#define MODELLIB_GRAPH_PHILOX_H_

#include <array>
#include <cstdint>

namespace modellib {

// The four words of one counter: {block (64 bits, low word first), stream (64 bits)}.
constexpr std::array<uint32_t, 4> philox_block(uint64_t key, uint64_t stream, uint64_t block) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                               static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

// The 32 random bits of the element with this global logical index.
constexpr uint32_t philox_bits(uint64_t key, uint64_t stream, uint64_t index) {
  return philox_block(key, stream, index / 4)[index % 4];
}

// Uniform in [0, 1), a multiple of 2^-24.
constexpr float philox_uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

}  // namespace modellib

#endif  // MODELLIB_GRAPH_PHILOX_H_
