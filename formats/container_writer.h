// Writes a container (formats/container.h): segments one after the other as they come, then the
// metadata.
//
//   MODELLIB_ASSIGN_OR_RETURN(auto writer, ContainerWriter::create(path, ContainerKind::kPlan));
//   MODELLIB_ASSIGN_OR_RETURN(uint32_t weights, writer->add_segment(bytes));
//   MODELLIB_RETURN_IF_ERROR(writer->finish(metadata));
//
// A file takes its place when all is on disk, and a writer that is destroyed without finish()
// leaves nothing behind; output_file.h tells what becomes of links, pipes and devices.
#ifndef MODELLIB_FORMATS_CONTAINER_WRITER_H_
#define MODELLIB_FORMATS_CONTAINER_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/formats/container.h"

namespace modellib {

class ContainerWriter {
 public:
  static absl::StatusOr<std::unique_ptr<ContainerWriter>> create(const std::string& path,
                                                                 ContainerKind kind);
  // Writes to memory: finish() leaves the container's bytes in bytes().
  static std::unique_ptr<ContainerWriter> in_memory(ContainerKind kind);
  virtual ~ContainerWriter() = default;

  // Returns the segment's index.
  absl::StatusOr<uint32_t> add_segment(absl::Span<const std::byte> bytes);
  // The same in pieces, for data that is never whole in memory.
  absl::Status begin_segment();
  absl::Status append(absl::Span<const std::byte> bytes);
  absl::StatusOr<uint32_t> end_segment();

  // Writes table, metadata and header and, for a file, puts it in its place. Called once, last.
  absl::Status finish(absl::Span<const std::byte> metadata);
  // What in_memory() wrote.
  virtual absl::Span<const std::byte> bytes() const { return {}; }

 protected:
  explicit ContainerWriter(ContainerKind kind);
  virtual absl::Status write(absl::Span<const std::byte> bytes) = 0;
  virtual absl::Status overwrite_start(absl::Span<const std::byte> bytes) = 0;
  virtual absl::Status close() = 0;

 private:
  struct HashState;
  struct HashStateDeleter {
    void operator()(HashState* state) const;
  };
  absl::Status append_raw(absl::Span<const std::byte> bytes);
  absl::Status pad_to_page();

  ContainerKind kind_;
  uint64_t position_ = 0;
  bool in_segment_ = false;
  bool finished_ = false;
  std::unique_ptr<HashState, HashStateDeleter> hash_;
  std::vector<Container::SegmentInfo> segments_;
};

}  // namespace modellib

#endif  // MODELLIB_FORMATS_CONTAINER_WRITER_H_
