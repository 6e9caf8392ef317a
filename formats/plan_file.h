// A plan's metadata with the segments that it refers to: read from a file, from memory or through a
// ByteReader, or put together in the process that compiled it. Immutable, and checked, whoever
// wrote it: its FlatBuffer, no part of which is named twice, its ranges within segments, and what
// verify_plan.h says of steps and memory. What depends on kernels is checked by Executable::load
// (executors/runtime/executable.h).
#ifndef MODELLIB_FORMATS_PLAN_FILE_H_
#define MODELLIB_FORMATS_PLAN_FILE_H_

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

namespace fb {
struct Plan;
struct PlanT;
}  // namespace fb

// What kernels of one name agree on between the library that compiled a plan and the one that runs
// it: scalars, data, packed layouts, chunks. Counts up whenever one of them changes its meaning; a
// plan of another number is refused when it is loaded.
inline constexpr uint32_t kKernelAbi = 5;

class PlanFile {
 public:
  // InvalidArgument for bytes that are no plan or contradict themselves, FailedPrecondition for a
  // version that this library does not run, and what Container::open reports.
  static absl::StatusOr<std::shared_ptr<const PlanFile>> open(const std::string& path,
                                                              const ContainerOptions& options = {});
  static absl::StatusOr<std::shared_ptr<const PlanFile>> open(SharedBytes bytes,
                                                              const ContainerOptions& options = {});
  static absl::StatusOr<std::shared_ptr<const PlanFile>> open(ByteReader& reader,
                                                              const ContainerOptions& options = {});
  // For the process that made the plan: nothing is copied but the metadata. `segments` should be
  // 64-byte aligned.
  static absl::StatusOr<std::shared_ptr<const PlanFile>> from_parts(
      const fb::PlanT& plan, std::vector<SharedBytes> segments);

  const fb::Plan& plan() const { return *plan_; }
  absl::Span<const std::byte> metadata() const { return metadata_.bytes; }
  // Whether the bytes come from where no harm is meant; else inputs and outputs of free size are
  // copied by sessions, so that a plan that lies about what its steps touch cannot leave them.
  bool trusted() const { return trusted_; }
  size_t segment_count() const { return segments_.size(); }
  const SharedBytes& segment(size_t i) const { return segments_[i]; }

  absl::Status write(const std::string& path) const;
  // The same bytes in memory.
  absl::StatusOr<std::vector<std::byte>> serialize() const;
  // Compares the checksums of all segments, where the plan comes from a container; see
  // Container::verify.
  absl::Status verify() const;

 private:
  PlanFile() = default;
  static absl::StatusOr<std::shared_ptr<const PlanFile>> from_container(
      std::shared_ptr<const Container> container);
  absl::Status check();

  std::shared_ptr<const Container> container_;
  SharedBytes metadata_;
  std::vector<SharedBytes> segments_;
  const fb::Plan* plan_ = nullptr;
  bool trusted_ = true;
};

// Writes a plan and its segments to `path`, as PlanFile::open reads them.
absl::Status write_plan(const std::string& path, const fb::PlanT& plan,
                        absl::Span<const SharedBytes> segments);
// The same bytes in memory.
absl::StatusOr<std::vector<std::byte>> serialize_plan(const fb::PlanT& plan,
                                                      absl::Span<const SharedBytes> segments);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_PLAN_FILE_H_
