#include "modellib/executors/runtime/plan_fuzz.h"

#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "modellib/executors/runtime/session.h"
#include "modellib/formats/container_layout.h"
#include "modellib/formats/container_writer.h"
#include "modellib/formats/plan_file.h"
#include "xxhash.h"

namespace modellib::runtime::testing {
namespace {

using container_layout::Header;
using container_layout::TableRow;

constexpr uint64_t kMaxBytes = 16 << 20;
constexpr uint64_t kMaxInputBytes = 1 << 20;

RunOptions soon() { return {.deadline = RunOptions::Clock::now() + std::chrono::milliseconds(5)}; }

void run_entry(Session& session, EntryId id) {
  const EntryInfo& info = session.executable().info(id);
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < info.inputs.size(); ++i) {
    if (info.inputs[i].bytes > kMaxInputBytes) return;
    // The smallest extents, in a block of just their size: who reads more reads too far.
    std::vector<int64_t> extents = info.inputs[i].max_shape;
    for (size_t d = 0; d < extents.size(); ++d) {
      const int symbol = info.inputs[i].symbols[d];
      if (symbol >= 0) extents[d] = info.symbols[static_cast<size_t>(symbol)].min;
    }
    auto tensor = Tensor::zeros(info.inputs[i].dtype, extents);
    if (!tensor.ok()) return;
    inputs.push_back(*std::move(tensor));
  }
  for (size_t s = 0; s < info.symbols.size(); ++s) {
    session.set_symbol(id, static_cast<int>(s), info.symbols[s].max).IgnoreError();
  }
  session.run_tensors(id, inputs, soon()).status().IgnoreError();
}

void load_and_run(absl::Span<const std::byte> bytes, const KernelTable& kernels) {
  auto file = PlanFile::open(SharedBytes{bytes, nullptr}, {.trusted = false});
  if (!file.ok()) return;
  auto executable = Executable::load(*file, kernels);
  if (!executable.ok()) return;
  VariableStoreOptions store_options;
  store_options.run = soon();
  store_options.max_bytes = kMaxBytes;
  auto store = VariableStore::create(*executable, store_options);
  if (!store.ok()) return;
  SessionOptions options;
  options.threads = 1;
  options.max_bytes = kMaxBytes;
  auto session = Session::create(*executable, *store, options);
  if (!session.ok()) return;
  for (int i = 0; i < (*executable)->entry_count(); ++i) run_entry(**session, EntryId(i));
}

// Sets all checksums whose bytes are there.
void mend(std::vector<std::byte>& bytes) {
  Header header;
  if (bytes.size() < sizeof(header)) return;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto inside = [&](uint64_t offset, uint64_t size) {
    return offset <= bytes.size() && size <= bytes.size() - offset;
  };
  header.file_bytes = bytes.size();
  if (header.segments < 1000 && inside(header.table_offset, header.segments * sizeof(TableRow))) {
    for (uint64_t i = 0; i < header.segments; ++i) {
      std::byte* const place = bytes.data() + header.table_offset + i * sizeof(TableRow);
      TableRow row;
      std::memcpy(&row, place, sizeof(row));
      if (!inside(row.offset, row.bytes)) continue;
      row.checksum = XXH3_64bits(bytes.data() + row.offset, row.bytes);
      std::memcpy(place, &row, sizeof(row));
    }
    header.table_checksum =
        XXH3_64bits(bytes.data() + header.table_offset, header.segments * sizeof(TableRow));
  }
  if (inside(header.metadata_offset, header.metadata_bytes)) {
    header.metadata_checksum =
        XXH3_64bits(bytes.data() + header.metadata_offset, header.metadata_bytes);
  }
  header.header_checksum = XXH3_64bits(&header, offsetof(Header, header_checksum));
  std::memcpy(bytes.data(), &header, sizeof(header));
}

void load_metadata(absl::Span<const std::byte> metadata, const KernelTable& kernels) {
  // As large as the constants of any plan of the corpora that comes without them.
  static const std::vector<std::byte> segment(256 << 10);
  const auto writer = ContainerWriter::in_memory(ContainerKind::kPlan);
  if (!writer->add_segment(segment).ok() || !writer->finish(metadata).ok()) return;
  load_and_run(writer->bytes(), kernels);
}

}  // namespace

void fuzz_plan(absl::Span<const std::byte> bytes, const KernelTable& kernels) {
  load_and_run(bytes, kernels);
  std::vector<std::byte> mended(bytes.begin(), bytes.end());
  mend(mended);
  load_and_run(mended, kernels);
  load_metadata(bytes, kernels);
}

}  // namespace modellib::runtime::testing
