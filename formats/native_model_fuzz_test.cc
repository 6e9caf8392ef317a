// Any bytes give a model or a Status. The checksums, which stop nearly every change before it
// is read, are made right first.
#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "modellib/formats/container_layout.h"
#include "modellib/formats/native_model.h"
#include "modellib/graph/testing_ops.h"

namespace modellib {
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
}  // namespace modellib

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace modellib;  // NOLINT(google-build-using-namespace)
  std::vector<std::byte> file(size);
  if (size != 0) std::memcpy(file.data(), data, size);
  mend_checksums(file);
  // Trusted: the segments' checksums are not looked at.
  const auto container = Container::open(SharedBytes{file, nullptr}, {.trusted = true});
  if (!container.ok()) return 0;
  const absl::StatusOr<Model> model = read_model(**container, testing::ops());
  // What is accepted can be written.
  if (model.ok() && !model_bytes(*model).ok()) std::abort();
  return 0;
}
