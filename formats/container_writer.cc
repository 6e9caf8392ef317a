#include "modellib/formats/container_writer.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "modellib/formats/container_layout.h"
#include "modellib/formats/output_file.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

using container_layout::Header;
using container_layout::kMagic;
using container_layout::kPage;
using container_layout::round_to_page;
using container_layout::TableRow;

template <class T>
absl::Span<const std::byte> bytes_of_object(const T& object) {
  return {reinterpret_cast<const std::byte*>(&object), sizeof(object)};
}

class FileWriter final : public ContainerWriter {
 public:
  FileWriter(ContainerKind kind, OutputFile file) : ContainerWriter(kind), file_(std::move(file)) {}

 protected:
  absl::Status write(absl::Span<const std::byte> bytes) override { return file_.write(bytes); }
  absl::Status overwrite_start(absl::Span<const std::byte> bytes) override {
    return file_.overwrite_start(bytes);
  }
  absl::Status close() override { return file_.commit(OutputFile::Durability::kOnDisk); }

 private:
  OutputFile file_;
};

class MemoryWriter final : public ContainerWriter {
 public:
  explicit MemoryWriter(ContainerKind kind) : ContainerWriter(kind) {}
  absl::Span<const std::byte> bytes() const override { return bytes_; }

 protected:
  absl::Status write(absl::Span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  absl::Status overwrite_start(absl::Span<const std::byte> bytes) override {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
    return absl::OkStatus();
  }
  absl::Status close() override { return absl::OkStatus(); }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

// XXH3 in pieces. The state wants 64-byte alignment, which its own allocator gives.
struct ContainerWriter::HashState {
  XXH3_state_t* state = XXH3_createState();
};
void ContainerWriter::HashStateDeleter::operator()(HashState* state) const {
  XXH3_freeState(state->state);
  delete state;
}

ContainerWriter::ContainerWriter(ContainerKind kind) : kind_(kind), hash_(new HashState()) {}

absl::StatusOr<std::unique_ptr<ContainerWriter>> ContainerWriter::create(const std::string& path,
                                                                         ContainerKind kind) {
  MODELLIB_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  return std::make_unique<FileWriter>(kind, std::move(file));
}

std::unique_ptr<ContainerWriter> ContainerWriter::in_memory(ContainerKind kind) {
  return std::make_unique<MemoryWriter>(kind);
}

absl::Status ContainerWriter::append_raw(absl::Span<const std::byte> bytes) {
  MODELLIB_RETURN_IF_ERROR(write(bytes));
  position_ += bytes.size();
  return absl::OkStatus();
}

absl::Status ContainerWriter::pad_to_page() {
  static constexpr std::byte kZeros[kPage] = {};
  return append_raw({kZeros, round_to_page(position_) - position_});
}

absl::Status ContainerWriter::begin_segment() {
  if (in_segment_ || finished_) {
    return absl::FailedPreconditionError("begin_segment within a segment or after finish");
  }
  // The first page is for the header, which is known last.
  if (position_ == 0) MODELLIB_RETURN_IF_ERROR(append_raw(bytes_of_object(Header{})));
  MODELLIB_RETURN_IF_ERROR(pad_to_page());
  segments_.push_back({position_, 0, 0});
  XXH3_64bits_reset(hash_->state);
  in_segment_ = true;
  return absl::OkStatus();
}

absl::Status ContainerWriter::append(absl::Span<const std::byte> bytes) {
  if (!in_segment_) return absl::FailedPreconditionError("append outside a segment");
  XXH3_64bits_update(hash_->state, bytes.data(), bytes.size());
  segments_.back().bytes += bytes.size();
  return append_raw(bytes);
}

absl::StatusOr<uint32_t> ContainerWriter::end_segment() {
  if (!in_segment_) return absl::FailedPreconditionError("end_segment outside a segment");
  segments_.back().checksum = XXH3_64bits_digest(hash_->state);
  in_segment_ = false;
  return static_cast<uint32_t>(segments_.size() - 1);
}

absl::StatusOr<uint32_t> ContainerWriter::add_segment(absl::Span<const std::byte> bytes) {
  MODELLIB_RETURN_IF_ERROR(begin_segment());
  MODELLIB_RETURN_IF_ERROR(append(bytes));
  return end_segment();
}

absl::Status ContainerWriter::finish(absl::Span<const std::byte> metadata) {
  if (in_segment_ || finished_) {
    return absl::FailedPreconditionError("finish within a segment or for the second time");
  }
  finished_ = true;
  if (position_ == 0) MODELLIB_RETURN_IF_ERROR(append_raw(bytes_of_object(Header{})));
  MODELLIB_RETURN_IF_ERROR(pad_to_page());

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kContainerVersion;
  header.kind = static_cast<uint32_t>(kind_);
  std::vector<TableRow> table;
  table.reserve(segments_.size());
  for (const auto& s : segments_) table.push_back({s.offset, s.bytes, s.checksum});
  header.segments = table.size();
  header.table_offset = position_;
  header.table_checksum = XXH3_64bits(table.data(), table.size() * sizeof(TableRow));
  MODELLIB_RETURN_IF_ERROR(append_raw(
      {reinterpret_cast<const std::byte*>(table.data()), table.size() * sizeof(TableRow)}));
  MODELLIB_RETURN_IF_ERROR(pad_to_page());
  header.metadata_offset = position_;
  header.metadata_bytes = metadata.size();
  header.metadata_checksum = XXH3_64bits(metadata.data(), metadata.size());
  MODELLIB_RETURN_IF_ERROR(append_raw(metadata));
  header.file_bytes = position_;
  header.header_checksum = XXH3_64bits(&header, offsetof(Header, header_checksum));
  MODELLIB_RETURN_IF_ERROR(overwrite_start(bytes_of_object(header)));
  return close();
}

}  // namespace modellib
