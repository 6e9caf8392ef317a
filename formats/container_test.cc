#include "modellib/formats/container.h"

#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/formats/container_layout.h"
#include "modellib/formats/container_writer.h"
#include "modellib/formats/detect.h"

namespace modellib {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> pattern(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

class ContainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = std::getenv("TEST_TMPDIR");
    folder_ = std::filesystem::path(base == nullptr ? "/tmp" : base) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // Segments of 0, 10 and 5000 bytes.
  static absl::Status fill(ContainerWriter& writer) {
    for (const size_t size : {0, 10, 5000}) {
      const auto bytes = pattern(size, static_cast<unsigned>(size));
      if (auto added = writer.add_segment(bytes); !added.ok()) return added.status();
    }
    return writer.finish(pattern(333, 1));
  }
  static std::vector<std::byte> in_memory() {
    const auto writer = ContainerWriter::in_memory(ContainerKind::kPlan);
    EXPECT_TRUE(fill(*writer).ok());
    return {writer->bytes().begin(), writer->bytes().end()};
  }
  static void expect_content(const Container& container) {
    ASSERT_EQ(container.segment_count(), 3u);
    const auto metadata = pattern(333, 1);
    EXPECT_TRUE(std::equal(metadata.begin(), metadata.end(), container.metadata().begin(),
                           container.metadata().end()));
    for (size_t i = 0; i < 3; ++i) {
      const size_t size = std::vector<size_t>{0, 10, 5000}[i];
      const auto expected = pattern(size, static_cast<unsigned>(size));
      const auto segment = container.segment(i);
      ASSERT_TRUE(segment.ok());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), segment->bytes.begin(),
                             segment->bytes.end()));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(segment->bytes.data()) % 64, 0u);
      EXPECT_EQ(container.segment_info(i).offset % 4096, 0u);
    }
    EXPECT_EQ(container.segment(3).status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_TRUE(container.verify().ok());
  }

  std::filesystem::path folder_;
};

TEST_F(ContainerTest, RoundTripsThroughAFileMappedAndCopied) {
  auto writer = ContainerWriter::create(path("a"), ContainerKind::kModel);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(fill(**writer).ok());
  for (const ContainerOptions& options :
       {ContainerOptions{}, ContainerOptions{.trusted = false}, ContainerOptions{.copy = true}}) {
    auto container = Container::open(path("a"), options);
    ASSERT_TRUE(container.ok()) << container.status();
    EXPECT_EQ((*container)->kind(), ContainerKind::kModel);
    expect_content(**container);
  }
  EXPECT_EQ(*detect_file_format(path("a")), FileFormat::kModel);
  // Nothing but the file itself is left in the folder.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(ContainerTest, RoundTripsThroughMemoryAlignedOrNot) {
  const auto bytes = in_memory();
  for (const size_t shift : {0, 1}) {
    auto memory = allocate_aligned(bytes.size() + 64);
    std::copy(bytes.begin(), bytes.end(), memory->data + shift);
    for (const bool trusted : {true, false}) {
      auto container = Container::open(
          SharedBytes{{memory->data + shift, bytes.size()}, memory->owner}, {.trusted = trusted});
      ASSERT_TRUE(container.ok()) << container.status();
      expect_content(**container);
      // In place only where that is safe.
      const bool in_place = (*container)->segment(2)->bytes.data() ==
                            memory->data + shift + (*container)->segment_info(2).offset;
      EXPECT_EQ(in_place, trusted && shift == 0);
    }
  }
}

class MemoryReader final : public ByteReader {
 public:
  explicit MemoryReader(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  absl::Status read(uint64_t offset, absl::Span<std::byte> into) override {
    if (fails) return absl::UnavailableError("the key is lost");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return absl::OkStatus();
  }
  bool fails = false;

 private:
  std::vector<std::byte> bytes_;
};

TEST_F(ContainerTest, ReadsThroughACallback) {
  MemoryReader reader(in_memory());
  auto container = Container::open(reader, {.trusted = false});
  ASSERT_TRUE(container.ok()) << container.status();
  expect_content(**container);
  reader.fails = true;
  EXPECT_EQ(Container::open(reader, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ContainerTest, AWriterThatDoesNotFinishLeavesTheOldFile) {
  ASSERT_TRUE(fill(**ContainerWriter::create(path("a"), ContainerKind::kPlan)).ok());
  {
    auto writer = ContainerWriter::create(path("a"), ContainerKind::kPlan);
    ASSERT_TRUE((*writer)->add_segment(pattern(100, 3)).ok());
  }
  expect_content(**Container::open(path("a"), {}));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_FALSE(ContainerWriter::create(path("no/such/folder"), ContainerKind::kPlan).ok());
}

TEST_F(ContainerTest, SegmentsCanBeWrittenInPieces) {
  const auto writer = ContainerWriter::in_memory(ContainerKind::kPlan);
  const auto bytes = pattern(10000, 7);
  EXPECT_FALSE(writer->append(bytes).ok());
  ASSERT_TRUE(writer->begin_segment().ok());
  EXPECT_FALSE(writer->begin_segment().ok());
  for (size_t i = 0; i < bytes.size(); i += 77) {
    ASSERT_TRUE(writer->append(absl::MakeConstSpan(bytes).subspan(i, 77)).ok());
  }
  EXPECT_FALSE(writer->finish({}).ok());
  EXPECT_EQ(*writer->end_segment(), 0u);
  ASSERT_TRUE(writer->finish({}).ok());
  EXPECT_FALSE(writer->finish({}).ok());
  auto container = Container::open(SharedBytes{writer->bytes(), nullptr}, {.trusted = false});
  ASSERT_TRUE(container.ok()) << container.status();
  const auto segment = (*container)->segment(0)->bytes;
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), segment.begin(), segment.end()));
}

TEST_F(ContainerTest, EveryTruncationIsRefused) {
  const auto bytes = in_memory();
  for (size_t size = 0; size < bytes.size(); size += size < 200 ? 1 : 41) {
    EXPECT_FALSE(Container::open(SharedBytes{{bytes.data(), size}, nullptr}, {}).ok()) << size;
  }
  std::ofstream(path("empty")).flush();
  EXPECT_FALSE(Container::open(path("empty"), {}).ok());
  EXPECT_EQ(Container::open(path("absent"), {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(Container::open(folder_.string(), {}).ok());
}

TEST_F(ContainerTest, EveryChangedByteThatMattersIsSeen) {
  const auto good = in_memory();
  auto trusted = Container::open(SharedBytes{good, nullptr}, {.trusted = false});
  for (size_t i = 0; i < good.size(); ++i) {
    auto bytes = good;
    bytes[i] ^= std::byte{0x10};
    const auto opened = Container::open(SharedBytes{bytes, nullptr}, {.trusted = false});
    // Only the padding between the parts may change unseen.
    if (opened.ok()) ASSERT_EQ(good[i], std::byte{0}) << i;
    if (i < sizeof(container_layout::Header)) EXPECT_FALSE(opened.ok()) << i;
  }
  auto bytes = good;
  bytes[(*trusted)->segment_info(2).offset + 4999] ^= std::byte{1};
  const auto damaged = Container::open(SharedBytes{bytes, nullptr}, {.trusted = false}).status();
  EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(damaged.message()), HasSubstr("segment 2"));
  // A trusted one is not read through until somebody asks.
  auto lazy = Container::open(SharedBytes{bytes, nullptr}, {});
  ASSERT_TRUE(lazy.ok());
  EXPECT_EQ((*lazy)->verify().code(), absl::StatusCode::kDataLoss);
}

// Whole by every checksum.
std::vector<std::byte> with_row(std::vector<std::byte> bytes, size_t i,
                                const container_layout::TableRow& row) {
  container_layout::Header header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::byte* const table = bytes.data() + header.table_offset;
  std::memcpy(table + i * sizeof(row), &row, sizeof(row));
  header.table_checksum = XXH3_64bits(table, header.segments * sizeof(row));
  header.header_checksum =
      XXH3_64bits(&header, offsetof(container_layout::Header, header_checksum));
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

TEST_F(ContainerTest, SegmentsThatShareBytesAreRefused) {
  const auto good = in_memory();
  const auto container = Container::open(SharedBytes{good, nullptr}, {});
  ASSERT_TRUE(container.ok()) << container.status();
  const auto row = [&](size_t i) {
    const Container::SegmentInfo& info = (*container)->segment_info(i);
    return container_layout::TableRow{info.offset, info.bytes, info.checksum};
  };
  EXPECT_TRUE(Container::open(SharedBytes{with_row(good, 1, row(1)), nullptr}, {}).ok());
  for (const bool trusted : {true, false}) {
    // Segment 2 once more, and segment 1 after it.
    for (const auto& bytes : {with_row(good, 1, row(2)), with_row(good, 0, row(2))}) {
      const auto status =
          Container::open(SharedBytes{bytes, nullptr}, {.trusted = trusted}).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), HasSubstr("begins before the end"));
    }
  }
}

TEST_F(ContainerTest, AnotherVersionIsRefusedWithTheReason) {
  auto bytes = in_memory();
  bytes[8] = std::byte{99};
  const auto status = Container::open(SharedBytes{bytes, nullptr}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("version 99"));
}

FileFormat detect(const std::string& text) {
  return detect_format({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

TEST(DetectTest, GoesByContent) {
  EXPECT_EQ(detect(""), FileFormat::kUnknown);
  EXPECT_EQ(detect("\x93NUMPY\x01"), FileFormat::kNumpy);
  EXPECT_EQ(detect("graph \"mlp\" (x: f32[1]) {"), FileFormat::kText);
  EXPECT_EQ(detect("// a comment\n\n  // another\ngraph \"a\" () {"), FileFormat::kText);
  EXPECT_EQ(detect("graphics"), FileFormat::kUnknown);
  EXPECT_EQ(detect("// only a comment"), FileFormat::kUnknown);
  EXPECT_EQ(detect(std::string("\x08\x07\x12\x07pytorch", 11)), FileFormat::kOnnx);
  EXPECT_EQ(detect(std::string("\x08\x08\x3a\x90\x01", 5)), FileFormat::kOnnx);
  EXPECT_EQ(detect(std::string("\x08\x00\x12\x07", 4)), FileFormat::kUnknown);
  EXPECT_EQ(detect("\x7f"
                   "ELF\x02\x01\x01"),
            FileFormat::kUnknown);
}

}  // namespace
}  // namespace modellib
