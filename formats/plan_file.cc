#include "modellib/formats/plan_file.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "flatbuffers/flatbuffers.h"
#include "modellib/formats/container_writer.h"
#include "modellib/formats/plan_generated.h"
#include "modellib/formats/verify_plan.h"
#include "modellib/graph/status_macros.h"

namespace modellib {
namespace {

// Far above any real plan (a step is about three tables), and small enough that a hostile one is
// refused before it costs minutes.
constexpr uint64_t kMaxMetadataBytes = uint64_t{1} << 30;
constexpr flatbuffers::uoffset_t kMaxTables = 16u << 20;
constexpr flatbuffers::uoffset_t kMaxDepth = 16;

template <class Vector>
size_t size_of(const Vector* vector) {
  return vector == nullptr ? 0 : vector->size();
}

// FlatBuffers verifies that vectors lie in the buffer, but not that elements of eight bytes are
// aligned; reading them where they are not is undefined.
template <class T>
bool aligned(const flatbuffers::Vector<T>* vector) {
  return vector == nullptr || reinterpret_cast<uintptr_t>(vector->Data()) % 8 == 0;
}

template <class T, class Check>
bool all_of(const flatbuffers::Vector<flatbuffers::Offset<T>>* tables, const Check& check) {
  return tables == nullptr ||
         std::all_of(tables->begin(), tables->end(), [&](const T* table) { return check(*table); });
}

bool vectors_are_aligned(const fb::Plan& plan) {
  const auto tensor = [](const fb::TensorDesc& t) { return aligned(t.shape()); };
  const auto step = [&](const fb::Step& s) {
    return aligned(s.outputs()) && aligned(s.inputs()) && aligned(s.scalars()) &&
           all_of(s.values(), tensor);
  };
  const auto entry = [&](const fb::Entry& e) {
    return all_of(e.slots(), [](const fb::Slot& s) { return aligned(s.expr()); }) &&
           all_of(e.inputs(), tensor) && all_of(e.outputs(), tensor) &&
           all_of(e.sequences(), [&](const fb::Sequence& s) { return all_of(s.steps(), step); });
  };
  return all_of(plan.entries(), entry) &&
         all_of(plan.variables(), [](const fb::Variable& v) { return aligned(v.shape()); });
}

// What the plan says takes at least so many bytes, if each table, vector and string of it is there
// once. Honest metadata is as large as all that it says; hostile metadata may name a part again and
// again, at four bytes each.
struct Extent {
  static constexpr uint64_t kTable = sizeof(flatbuffers::soffset_t);

  static uint64_t of(const flatbuffers::String* text) {
    return text == nullptr ? 0 : sizeof(flatbuffers::uoffset_t) + uint64_t{text->size()} + 1;
  }
  template <class T>
  static uint64_t of(const flatbuffers::Vector<T>* numbers) {
    constexpr uint64_t kElement = flatbuffers::IndirectHelper<T>::element_stride;
    return numbers == nullptr ? 0 : sizeof(flatbuffers::uoffset_t) + numbers->size() * kElement;
  }
  template <class T>
  static uint64_t of(const flatbuffers::Vector<flatbuffers::Offset<T>>* parts) {
    if (parts == nullptr) return 0;
    uint64_t sum = sizeof(flatbuffers::uoffset_t);
    for (const T* part : *parts) sum += sizeof(flatbuffers::uoffset_t) + of(part);
    return sum;
  }

  static uint64_t of(const fb::TensorDesc* t) {
    return kTable + of(t->name()) + of(t->shape()) + of(t->symbols());
  }
  static uint64_t of(const fb::Step* s) {
    return kTable + of(s->waits()) + of(s->signals()) + of(s->outputs()) + of(s->inputs()) +
           of(s->scalars()) + of(s->data()) + of(s->sequences()) + of(s->name()) + of(s->values());
  }
  static uint64_t of(const fb::Sequence* s) { return kTable + of(s->steps()); }
  static uint64_t of(const fb::Symbol* s) { return kTable + of(s->name()); }
  static uint64_t of(const fb::Slot* s) { return kTable + of(s->expr()); }
  static uint64_t of(const fb::Constraint* c) {
    return kTable + of(c->left()) + of(c->right()) + of(c->left_text()) + of(c->right_text()) +
           of(c->reason());
  }
  static uint64_t of(const fb::VariableUse*) { return kTable; }
  static uint64_t of(const fb::Arena* a) { return kTable + of(a->device()); }
  static uint64_t of(const fb::Contributor* c) { return kTable + of(c->name()); }
  static uint64_t of(const fb::Entry* e) {
    return kTable + of(e->name()) + of(e->symbols()) + of(e->slots()) + of(e->inputs()) +
           of(e->outputs()) + of(e->variables()) + of(e->sequences()) + of(e->arenas()) +
           of(e->lanes()) + of(e->contributors()) + of(e->constraints());
  }
  static uint64_t of(const fb::Variable* v) { return kTable + of(v->name()) + of(v->shape()); }
  static uint64_t of(const fb::Constant* c) { return kTable + of(c->name()); }
  static uint64_t of(const fb::PassRecord* p) { return kTable + of(p->name()); }
  static uint64_t of(const fb::Plan* p) {
    return kTable + of(p->producer()) + of(p->device()) + of(p->features()) + of(p->kernels()) +
           of(p->variables()) + of(p->constants()) + of(p->entries()) + of(p->passes());
  }
};

absl::Status check_range(absl::string_view what, size_t index, uint64_t segment, uint64_t offset,
                         uint64_t bytes, absl::Span<const SharedBytes> segments) {
  if (segment >= segments.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " ", index, " names segment ", segment, " of ", segments.size()));
  }
  const uint64_t size = segments[segment].bytes.size();
  if (offset > size || bytes > size - offset) {
    return absl::InvalidArgumentError(absl::StrCat(what, " ", index, " wants ", bytes,
                                                   " bytes at offset ", offset, " of segment ",
                                                   segment, ", which has ", size));
  }
  return absl::OkStatus();
}

std::vector<SharedBytes> segments_of(const Container& container) {
  std::vector<SharedBytes> segments;
  segments.reserve(container.segment_count());
  for (size_t i = 0; i < container.segment_count(); ++i) {
    segments.push_back(*container.segment(i));
  }
  return segments;
}

absl::Status write_to(ContainerWriter& writer, absl::Span<const std::byte> metadata,
                      absl::Span<const SharedBytes> segments) {
  for (const SharedBytes& segment : segments) {
    MODELLIB_RETURN_IF_ERROR(writer.add_segment(segment.bytes).status());
  }
  return writer.finish(metadata);
}

flatbuffers::DetachedBuffer pack(const fb::PlanT& plan) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Plan::Pack(builder, &plan));
  return builder.Release();
}

absl::Span<const std::byte> bytes_of(const flatbuffers::DetachedBuffer& buffer) {
  return {reinterpret_cast<const std::byte*>(buffer.data()), buffer.size()};
}

}  // namespace

absl::Status PlanFile::check() {
  const absl::Span<const std::byte> bytes = metadata_.bytes;
  if (bytes.size() > kMaxMetadataBytes) {
    return absl::InvalidArgumentError(absl::StrCat("plan metadata of ", bytes.size(),
                                                   " bytes; the limit is ", kMaxMetadataBytes));
  }
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
                                 kMaxDepth, kMaxTables);
  if (bytes.size() < 8 || !verifier.VerifyBuffer<fb::Plan>(nullptr)) {
    return absl::InvalidArgumentError("the plan's metadata is no valid FlatBuffer of a plan");
  }
  plan_ = flatbuffers::GetRoot<fb::Plan>(bytes.data());
  if (Extent::of(plan_) > bytes.size()) {
    return absl::InvalidArgumentError("parts of the plan's metadata are used more than once");
  }
  if (!vectors_are_aligned(*plan_)) {
    return absl::InvalidArgumentError("the plan's metadata holds numbers that are not aligned");
  }
  for (size_t i = 0; i < size_of(plan_->constants()); ++i) {
    const fb::Constant& c = *plan_->constants()->Get(static_cast<flatbuffers::uoffset_t>(i));
    MODELLIB_RETURN_IF_ERROR(
        check_range("constant", i, c.segment(), c.offset(), c.bytes(), segments_));
  }
  for (size_t i = 0; i < size_of(plan_->variables()); ++i) {
    const fb::Variable& v = *plan_->variables()->Get(static_cast<flatbuffers::uoffset_t>(i));
    if (v.segment() < 0) continue;
    MODELLIB_RETURN_IF_ERROR(check_range("variable", i, static_cast<uint64_t>(v.segment()),
                                         v.offset(), v.bytes(), segments_));
  }
  return verify_plan(*plan_);
}

absl::StatusOr<std::shared_ptr<const PlanFile>> PlanFile::from_container(
    std::shared_ptr<const Container> container) {
  if (container->kind() != ContainerKind::kPlan) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", to_string(container->kind()), ", not a plan"));
  }
  std::shared_ptr<PlanFile> file(new PlanFile());
  file->metadata_ = {container->metadata(), container};
  file->segments_ = segments_of(*container);
  file->trusted_ = container->trusted();
  file->container_ = std::move(container);
  MODELLIB_RETURN_IF_ERROR(file->check());
  return file;
}

absl::StatusOr<std::shared_ptr<const PlanFile>> PlanFile::open(const std::string& path,
                                                               const ContainerOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(auto container, Container::open(path, options));
  auto file = from_container(std::move(container));
  if (!file.ok()) {
    return absl::Status(file.status().code(), absl::StrCat(path, ": ", file.status().message()));
  }
  return file;
}

absl::StatusOr<std::shared_ptr<const PlanFile>> PlanFile::open(SharedBytes bytes,
                                                               const ContainerOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(auto container, Container::open(std::move(bytes), options));
  return from_container(std::move(container));
}

absl::StatusOr<std::shared_ptr<const PlanFile>> PlanFile::open(ByteReader& reader,
                                                               const ContainerOptions& options) {
  MODELLIB_ASSIGN_OR_RETURN(auto container, Container::open(reader, options));
  return from_container(std::move(container));
}

absl::StatusOr<std::shared_ptr<const PlanFile>> PlanFile::from_parts(
    const fb::PlanT& plan, std::vector<SharedBytes> segments) {
  const flatbuffers::DetachedBuffer packed = pack(plan);
  MODELLIB_ASSIGN_OR_RETURN(OwnedBytes metadata, allocate_aligned(packed.size()));
  std::copy_n(bytes_of(packed).data(), packed.size(), metadata.data);
  std::shared_ptr<PlanFile> file(new PlanFile());
  file->metadata_ = {{metadata.data, packed.size()}, std::move(metadata.owner)};
  file->segments_ = std::move(segments);
  MODELLIB_RETURN_IF_ERROR(file->check());
  return file;
}

absl::Status PlanFile::write(const std::string& path) const {
  MODELLIB_ASSIGN_OR_RETURN(auto writer, ContainerWriter::create(path, ContainerKind::kPlan));
  return write_to(*writer, metadata_.bytes, segments_);
}

absl::StatusOr<std::vector<std::byte>> PlanFile::serialize() const {
  const auto writer = ContainerWriter::in_memory(ContainerKind::kPlan);
  MODELLIB_RETURN_IF_ERROR(write_to(*writer, metadata_.bytes, segments_));
  return std::vector<std::byte>(writer->bytes().begin(), writer->bytes().end());
}

absl::Status PlanFile::verify() const {
  return container_ == nullptr ? absl::OkStatus() : container_->verify();
}

absl::Status write_plan(const std::string& path, const fb::PlanT& plan,
                        absl::Span<const SharedBytes> segments) {
  MODELLIB_ASSIGN_OR_RETURN(auto writer, ContainerWriter::create(path, ContainerKind::kPlan));
  return write_to(*writer, bytes_of(pack(plan)), segments);
}

absl::StatusOr<std::vector<std::byte>> serialize_plan(const fb::PlanT& plan,
                                                      absl::Span<const SharedBytes> segments) {
  const auto writer = ContainerWriter::in_memory(ContainerKind::kPlan);
  MODELLIB_RETURN_IF_ERROR(write_to(*writer, bytes_of(pack(plan)), segments));
  return std::vector<std::byte>(writer->bytes().begin(), writer->bytes().end());
}

}  // namespace modellib
