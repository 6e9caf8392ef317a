#include "modellib/formats/container.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "modellib/formats/container_layout.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

using container_layout::Header;
using container_layout::kMagic;
using container_layout::kPage;
using container_layout::TableRow;

constexpr uint64_t kAlignment = 64;

uint64_t checksum(absl::Span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

absl::StatusOr<SharedBytes> map_file(const File& file, uint64_t size, const std::string& path) {
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("mapping ", path));
  std::shared_ptr<const void> owner(
      memory, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  return SharedBytes{{static_cast<const std::byte*>(memory), size}, std::move(owner)};
}

absl::StatusOr<SharedBytes> read_file(const File& file, uint64_t size, const std::string& path,
                                      const ContainerOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, allocate_aligned(size, options.allocator));
  uint64_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(file.descriptor(), memory.data + done,
                             std::min<uint64_t>(size - done, uint64_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
    if (n == 0) return absl::DataLossError(absl::StrCat(path, " ended while it was read"));
    done += static_cast<uint64_t>(n);
  }
  return SharedBytes{{memory.data, size}, std::move(memory.owner)};
}

// Whether [offset, offset + bytes) lies within a file of `size` bytes, and begins on a page.
bool lies_within(uint64_t offset, uint64_t bytes, uint64_t size) {
  return offset % kPage == 0 && offset <= size && bytes <= size - offset;
}

}  // namespace

absl::string_view to_string(ContainerKind kind) {
  return kind == ContainerKind::kPlan ? "plan" : "model";
}

absl::StatusOr<OwnedBytes> allocate_aligned(uint64_t size,
                                            const std::shared_ptr<Allocator>& allocator,
                                            uint64_t alignment) {
  constexpr uint64_t kLimit = uint64_t{1} << 47;
  const uint64_t padded =
      std::max<uint64_t>(size + alignment - 1, alignment) / alignment * alignment;
  void* memory = nullptr;
  if (size <= kLimit) {
    memory = allocator != nullptr ? allocator->allocate(padded, alignment)
                                  : std::aligned_alloc(alignment, padded);
  }
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", size, " bytes"));
  }
  if (allocator != nullptr && reinterpret_cast<uintptr_t>(memory) % alignment != 0) {
    allocator->deallocate(memory, padded, alignment);
    return absl::InternalError(
        absl::StrCat("the allocator gave memory that is not aligned to ", alignment, " bytes"));
  }
  std::shared_ptr<const void> owner(memory, [allocator, padded, alignment](const void* p) {
    if (allocator != nullptr) {
      allocator->deallocate(const_cast<void*>(p), padded, alignment);
    } else {
      std::free(const_cast<void*>(p));
    }
  });
  return OwnedBytes{static_cast<std::byte*>(memory), std::move(owner)};
}

absl::StatusOr<std::shared_ptr<const Container>> Container::open(const std::string& path,
                                                                 const ContainerOptions& options) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.descriptor() < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  struct stat info {};
  if (::fstat(file.descriptor(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size == 0) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  const bool copies = options.copy || !options.trusted;
  MODELLIB_ASSIGN_OR_RETURN(SharedBytes bytes, copies ? read_file(file, size, path, options)
                                                      : map_file(file, size, path));
  std::shared_ptr<Container> container(new Container());
  if (absl::Status status = container->parse(std::move(bytes), options); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  }
  return container;
}

absl::StatusOr<std::shared_ptr<const Container>> Container::open(SharedBytes bytes,
                                                                 const ContainerOptions& options) {
  const bool aligned = reinterpret_cast<uintptr_t>(bytes.bytes.data()) % kAlignment == 0;
  if (!options.trusted || options.copy || !aligned) {
    MODELLIB_ASSIGN_OR_RETURN(OwnedBytes copy,
                              allocate_aligned(bytes.bytes.size(), options.allocator));
    std::copy(bytes.bytes.begin(), bytes.bytes.end(), copy.data);
    bytes = {{copy.data, bytes.bytes.size()}, std::move(copy.owner)};
  }
  std::shared_ptr<Container> container(new Container());
  MODELLIB_RETURN_IF_ERROR(container->parse(std::move(bytes), options));
  return container;
}

absl::StatusOr<std::shared_ptr<const Container>> Container::open(ByteReader& reader,
                                                                 const ContainerOptions& options) {
  const uint64_t size = reader.size();
  MODELLIB_ASSIGN_OR_RETURN(OwnedBytes memory, allocate_aligned(size, options.allocator));
  MODELLIB_RETURN_IF_ERROR(reader.read(0, {memory.data, size}));
  std::shared_ptr<Container> container(new Container());
  MODELLIB_RETURN_IF_ERROR(
      container->parse({{memory.data, size}, std::move(memory.owner)}, options));
  return container;
}

absl::Status Container::parse(SharedBytes file, const ContainerOptions& options) {
  const absl::Span<const std::byte> bytes = file.bytes;
  Header header;
  if (bytes.size() < sizeof(header)) {
    return absl::InvalidArgumentError(
        absl::StrCat("no container: a header has ", sizeof(header), " bytes, got ", bytes.size()));
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return absl::InvalidArgumentError("no container: it does not begin with the magic number");
  }
  if (header.version != kContainerVersion) {
    return absl::FailedPreconditionError(absl::StrCat("container of version ", header.version,
                                                      "; this library reads version ",
                                                      kContainerVersion));
  }
  if (checksum(bytes.first(offsetof(Header, header_checksum))) != header.header_checksum) {
    return absl::DataLossError("the header does not match its checksum");
  }
  if (header.kind != static_cast<uint32_t>(ContainerKind::kPlan) &&
      header.kind != static_cast<uint32_t>(ContainerKind::kModel)) {
    return absl::InvalidArgumentError(absl::StrCat("container of unknown kind ", header.kind));
  }
  if (header.file_bytes != bytes.size()) {
    return absl::DataLossError(absl::StrCat("the container was written with ", header.file_bytes,
                                            " bytes, but there are ", bytes.size()));
  }
  if (header.segments > bytes.size() / sizeof(TableRow) ||
      !lies_within(header.table_offset, header.segments * sizeof(TableRow), bytes.size()) ||
      !lies_within(header.metadata_offset, header.metadata_bytes, bytes.size())) {
    return absl::InvalidArgumentError("the header names bytes outside the container");
  }
  const auto table = bytes.subspan(header.table_offset, header.segments * sizeof(TableRow));
  if (checksum(table) != header.table_checksum) {
    return absl::DataLossError("the segment table does not match its checksum");
  }
  metadata_ = bytes.subspan(header.metadata_offset, header.metadata_bytes);
  if (checksum(metadata_) != header.metadata_checksum) {
    return absl::DataLossError("the metadata does not match its checksum");
  }
  segments_.reserve(header.segments);
  uint64_t end = 0;  // of the segment before
  for (uint64_t i = 0; i < header.segments; ++i) {
    TableRow row;
    std::memcpy(&row, table.data() + i * sizeof(row), sizeof(row));
    if (!lies_within(row.offset, row.bytes, bytes.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("segment ", i, " of ", row.bytes, " bytes at offset ", row.offset,
                       " is not a page's start within the container"));
    }
    // Checksums read each byte once, however many rows a hostile table has.
    if (row.offset < end) {
      return absl::InvalidArgumentError(absl::StrCat("segment ", i, " at offset ", row.offset,
                                                     " begins before the end of the one before, ",
                                                     end));
    }
    end = row.offset + row.bytes;
    segments_.push_back({row.offset, row.bytes, row.checksum});
  }
  kind_ = static_cast<ContainerKind>(header.kind);
  trusted_ = options.trusted;
  file_bytes_ = bytes.size();
  file_ = std::move(file);
  return options.trusted ? absl::OkStatus() : verify();
}

absl::StatusOr<SharedBytes> Container::segment(size_t i) const {
  if (i >= segments_.size()) {
    return absl::OutOfRangeError(
        absl::StrCat("no segment ", i, "; the container has ", segments_.size()));
  }
  return SharedBytes{file_.bytes.subspan(segments_[i].offset, segments_[i].bytes), file_.owner};
}

absl::Status Container::verify() const {
  for (size_t i = 0; i < segments_.size(); ++i) {
    const SegmentInfo& info = segments_[i];
    if (checksum(file_.bytes.subspan(info.offset, info.bytes)) != info.checksum) {
      return absl::DataLossError(absl::StrCat("segment ", i, " (", info.bytes, " bytes at offset ",
                                              info.offset, ") does not match its checksum"));
    }
  }
  return absl::OkStatus();
}

}  // namespace modellib
