#include "modellib/formats/native_model_fuzz.h"

#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "modellib/formats/container_layout.h"
#include "modellib/formats/native_model.h"

namespace modellib::testing {
namespace {

void mend_checksums(std::vector<std::byte>& file) {
  container_layout::Header header;
  if (file.size() < sizeof(header)) return;
  std::memcpy(&header, file.data(), sizeof(header));
  const auto checksum = [&](uint64_t offset, uint64_t bytes, uint64_t& sum) {
    if (offset <= file.size() && bytes <= file.size() - offset) {
      sum = XXH3_64bits(file.data() + offset, static_cast<size_t>(bytes));
    }
  };
  checksum(header.metadata_offset, header.metadata_bytes, header.metadata_checksum);
  if (header.segments < 1000) {
    checksum(header.table_offset, header.segments * sizeof(container_layout::TableRow),
             header.table_checksum);
  }
  header.header_checksum = XXH3_64bits(&header, sizeof(header) - sizeof(header.header_checksum));
  std::memcpy(file.data(), &header, sizeof(header));
}

}  // namespace

void fuzz_native_model(absl::Span<const std::byte> bytes, const OpRegistry& ops) {
  std::vector<std::byte> file(bytes.begin(), bytes.end());
  mend_checksums(file);
  // Trusted: the segments' checksums are not looked at.
  const auto container = Container::open(SharedBytes{file, nullptr}, {.trusted = true});
  if (!container.ok()) return;
  const absl::StatusOr<Model> model = read_model(**container, ops);
  if (model.ok() && !model_bytes(*model).ok()) std::abort();
}

}  // namespace modellib::testing
