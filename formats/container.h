// The container of plans and native models: one file that holds metadata (a FlatBuffer) and raw
// segments (weights, packed constants) that a program uses where they lie.
//
//   header | segment 0 | segment 1 | ... | segment table | metadata
//
// Segments begin on pages of 4096 bytes, one after the other; offsets and lengths have 64 bits;
// header, table, metadata and each segment have an XXH3-64 checksum. All numbers are little-endian.
// A file is mapped by default, so that processes share its weights and opening costs nothing. A
// source that is not trusted is copied into memory first, with all checksums verified: a mapped
// file that somebody cuts short would raise SIGBUS.
#ifndef MODELLIB_FORMATS_CONTAINER_H_
#define MODELLIB_FORMATS_CONTAINER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace modellib {

inline constexpr uint32_t kContainerVersion = 1;

enum class ContainerKind : uint32_t { kPlan = 1, kModel = 2 };
absl::string_view to_string(ContainerKind kind);

// Bytes that somebody owns: valid as long as `owner` (null: whoever gave them keeps them).
struct SharedBytes {
  absl::Span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};
// Where large memory comes from: what grows with a model or its data. Called from any thread.
class Allocator {
 public:
  virtual ~Allocator() = default;
  // Null if there is none. `alignment` is a power of two.
  virtual void* allocate(size_t bytes, size_t alignment) = 0;
  virtual void deallocate(void* memory, size_t bytes, size_t alignment) = 0;
};
// Memory of `size` bytes (at least one, and rounded up to the alignment, a power of two), not set,
// from `allocator`, which it keeps (null: the heap). ResourceExhausted if there is none.
struct OwnedBytes {
  std::byte* data = nullptr;
  std::shared_ptr<const void> owner;
};
absl::StatusOr<OwnedBytes> allocate_aligned(uint64_t size,
                                            const std::shared_ptr<Allocator>& allocator = nullptr,
                                            uint64_t alignment = 64);

// Where bytes come from when they are neither in a file nor in memory: an encrypted store, an
// archive, a network. Calls come from one thread at a time.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  virtual uint64_t size() const = 0;
  // Fills `into` with the bytes that begin at `offset`; all of them lie below size().
  virtual absl::Status read(uint64_t offset, absl::Span<std::byte> into) = 0;
};

struct ContainerOptions {
  // False: the bytes may be hostile. They are copied, never mapped, and all checksums verified.
  bool trusted = true;
  // True: a file is copied into memory though it is trusted (it may change while in use).
  bool copy = false;
  // For what is copied; null: the heap.
  std::shared_ptr<Allocator> allocator = nullptr;
};

class Container {
 public:
  struct SegmentInfo {
    uint64_t offset;
    uint64_t bytes;
    uint64_t checksum;  // XXH3-64
  };

  // NotFound or PermissionDenied for the file, InvalidArgument for bytes that are no container,
  // FailedPrecondition for a version that this library does not read, DataLoss for a checksum.
  static absl::StatusOr<std::shared_ptr<const Container>> open(const std::string& path,
                                                               const ContainerOptions& options);
  // `bytes` are used in place where they are trusted and 64-byte aligned, else copied.
  static absl::StatusOr<std::shared_ptr<const Container>> open(SharedBytes bytes,
                                                               const ContainerOptions& options);
  // Everything is read at once.
  static absl::StatusOr<std::shared_ptr<const Container>> open(ByteReader& reader,
                                                               const ContainerOptions& options);

  ContainerKind kind() const { return kind_; }
  bool trusted() const { return trusted_; }
  uint64_t file_bytes() const { return file_bytes_; }
  // 64-byte aligned, as are the segments.
  absl::Span<const std::byte> metadata() const { return metadata_; }
  size_t segment_count() const { return segments_.size(); }
  const SegmentInfo& segment_info(size_t i) const { return segments_[i]; }
  // The bytes live as long as their owner, which may outlive the Container. OutOfRange for an index
  // that is none.
  absl::StatusOr<SharedBytes> segment(size_t i) const;
  // Reads every byte and compares the checksums. DataLoss naming the first that differs.
  absl::Status verify() const;

 private:
  Container() = default;
  absl::Status parse(SharedBytes file, const ContainerOptions& options);

  SharedBytes file_;
  ContainerKind kind_ = ContainerKind::kPlan;
  bool trusted_ = true;
  uint64_t file_bytes_ = 0;
  absl::Span<const std::byte> metadata_;
  std::vector<SegmentInfo> segments_;
};

}  // namespace modellib

#endif  // MODELLIB_FORMATS_CONTAINER_H_
