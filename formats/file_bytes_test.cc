#include "modellib/formats/file_bytes.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace modellib {
namespace {

using ::testing::HasSubstr;

std::string temporary(const std::string& name) {
  const char* base = std::getenv("TEST_TMPDIR");
  return std::string(base == nullptr ? "/tmp" : base) + "/" + name;
}

TEST(FileBytes, ComeBackAsTheyWereWritten) {
  const std::string path = temporary("file"), bytes("a\0b", 3);
  ASSERT_TRUE(write_file(path, bytes).ok());
  const absl::StatusOr<std::string> read = read_file(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, bytes);
  EXPECT_EQ(read_file(temporary("no file")).status().code(), absl::StatusCode::kNotFound);
}

TEST(FileBytes, OfAFileBeyondAllMemory) {
  const std::string path = temporary("sparse");
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, off_t{10} << 40), 0);
  ::close(fd);
  const absl::Status status = read_file(path).status();
  ::unlink(path.c_str());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

}  // namespace
}  // namespace modellib
