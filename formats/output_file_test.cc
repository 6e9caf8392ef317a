#include "modellib/formats/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "modellib/formats/container.h"
#include "modellib/formats/container_writer.h"
#include "modellib/formats/file_bytes.h"

namespace modellib {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Both ways to write a file, in a folder of the test's own.
class OutputFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = std::getenv("TEST_TMPDIR");
    folder_ = fs::path(base == nullptr ? "/tmp" : base) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  auto entries() const { return std::distance(fs::directory_iterator(folder_), {}); }

  static absl::Status write_container(const std::string& path) {
    auto writer = ContainerWriter::create(path, ContainerKind::kPlan);
    if (!writer.ok()) return writer.status();
    const std::vector<std::byte> segment(100000, std::byte{7});
    if (auto added = (*writer)->add_segment(segment); !added.ok()) return added.status();
    return (*writer)->finish(segment);
  }
  static void expect_container(const std::string& bytes) {
    const auto* const data = reinterpret_cast<const std::byte*>(bytes.data());
    const auto container =
        Container::open(SharedBytes{{data, bytes.size()}, nullptr}, {.trusted = false});
    ASSERT_TRUE(container.ok()) << container.status();
    EXPECT_EQ((*container)->segment(0)->bytes.size(), 100000u);
  }

  fs::path folder_;
};

TEST_F(OutputFileTest, AFileIsReplacedAndKeepsItsPermissions) {
  ASSERT_TRUE(write_file(path("a"), "old").ok());
  ASSERT_EQ(::chmod(path("a").c_str(), 0640), 0);
  const int reader = ::open(path("a").c_str(), O_RDONLY);
  ASSERT_TRUE(write_file(path("a"), "new").ok());
  EXPECT_EQ(*read_file(path("a")), "new");
  char seen[4] = {};
  EXPECT_EQ(::read(reader, seen, 3), 3);
  EXPECT_STREQ(seen, "old") << "whoever had it open sees the old file, whole";
  ::close(reader);
  EXPECT_EQ(fs::status(path("a")).permissions(), fs::perms(0640));
  ASSERT_TRUE(write_container(path("a")).ok());
  expect_container(*read_file(path("a")));
  EXPECT_EQ(entries(), 1) << "nothing is left beside it";
}

TEST_F(OutputFileTest, ALinkStaysAndWhatItPointsToIsReplaced) {
  fs::create_directory(path("folder"));
  ASSERT_TRUE(write_file(path("folder/file"), "old").ok());
  fs::create_symlink("folder/file", path("one"));
  fs::create_symlink(path("one"), path("two"));
  ASSERT_TRUE(write_file(path("two"), "new").ok());
  EXPECT_EQ(*read_file(path("folder/file")), "new");
  ASSERT_TRUE(write_container(path("two")).ok());
  expect_container(*read_file(path("folder/file")));
  EXPECT_EQ(fs::read_symlink(path("one")), "folder/file");
  EXPECT_EQ(fs::read_symlink(path("two")), path("one"));
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(path("folder/file"))));
  EXPECT_EQ(entries(), 3);
}

TEST_F(OutputFileTest, ALinkToNothingGetsAFile) {
  fs::create_symlink("not yet", path("link"));
  ASSERT_TRUE(write_file(path("link"), "new").ok());
  EXPECT_EQ(*read_file(path("not yet")), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  fs::create_symlink("circle", path("circle"));
  EXPECT_FALSE(write_file(path("circle"), "new").ok());
  EXPECT_TRUE(fs::is_symlink(path("circle")));
  EXPECT_EQ(entries(), 3);
}

TEST_F(OutputFileTest, APipeGetsTheBytes) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", path("link"));
  for (const char* name : {"pipe", "link"}) {
    auto read = std::async(std::launch::async, [&] { return *read_file(path("pipe")); });
    ASSERT_TRUE(write_file(path(name), "bytes").ok());
    EXPECT_EQ(read.get(), "bytes");
    auto container = std::async(std::launch::async, [&] { return *read_file(path("pipe")); });
    ASSERT_TRUE(write_container(path(name)).ok());
    expect_container(container.get());
  }
  EXPECT_TRUE(fs::is_fifo(fs::symlink_status(path("pipe"))));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(entries(), 2);
}

TEST_F(OutputFileTest, APipeThatNobodyReadsAnyMoreIsAnError) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  auto read =
      std::async(std::launch::async, [&] { ::close(::open(path("pipe").c_str(), O_RDONLY)); });
  // More than a pipe holds.
  const absl::Status status = write_file(path("pipe"), std::string(1'000'000, 'x'));
  read.get();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(path("pipe")));
}

// As /dev/stdout leads to it: a file that has no name any more, and one that has.
TEST_F(OutputFileTest, AnOpenFileIsWrittenThroughItsLink) {
  const int file = ::open(path("a").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(file, 0);
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  ASSERT_TRUE(write_file(link, "new").ok());
  EXPECT_EQ(*read_file(path("a")), "new");
  ::close(file);
  const int nameless = ::open(path("b").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::write(nameless, "a longer text", 13), 13);
  fs::remove(path("b"));
  ASSERT_TRUE(write_file("/proc/self/fd/" + std::to_string(nameless), "new").ok());
  char seen[16] = {};
  EXPECT_EQ(::pread(nameless, seen, sizeof(seen), 0), 3);
  EXPECT_STREQ(seen, "new");
  ::close(nameless);
  EXPECT_EQ(entries(), 1);
}

TEST_F(OutputFileTest, AFolderIsNoFile) {
  const absl::Status status = write_file(folder_.string(), "new");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_.string()));
  EXPECT_FALSE(write_container(folder_.string()).ok());
  EXPECT_FALSE(write_file(path("no/such/folder"), "new").ok());
  EXPECT_EQ(entries(), 0);
}

}  // namespace
}  // namespace modellib
