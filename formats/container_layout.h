// The bytes of a container's header, for its reader and its writer.
#ifndef MODELLIB_FORMATS_CONTAINER_LAYOUT_H_
#define MODELLIB_FORMATS_CONTAINER_LAYOUT_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace modellib::container_layout {

static_assert(std::endian::native == std::endian::little,
              "containers are little-endian and used in place");

inline constexpr uint64_t kPage = 4096;
// Not text in any encoding, and broken by a transfer that changes line ends or the eighth bit.
inline constexpr unsigned char kMagic[8] = {0xAB, 'M', 'L', 'I', 'B', '\r', '\n', 0x1A};

struct Header {
  unsigned char magic[8];
  uint32_t version;
  uint32_t kind;
  uint64_t file_bytes;
  uint64_t table_offset;
  uint64_t segments;
  uint64_t metadata_offset;
  uint64_t metadata_bytes;
  uint64_t table_checksum;
  uint64_t metadata_checksum;
  uint64_t header_checksum;  // of the bytes before it
};
static_assert(sizeof(Header) == 80);

struct TableRow {
  uint64_t offset;
  uint64_t bytes;
  uint64_t checksum;
};
static_assert(sizeof(TableRow) == 24);

inline constexpr uint64_t round_to_page(uint64_t n) { return (n + kPage - 1) / kPage * kPage; }

}  // namespace modellib::container_layout

#endif  // MODELLIB_FORMATS_CONTAINER_LAYOUT_H_
