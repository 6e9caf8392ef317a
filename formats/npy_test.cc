#include "modellib/formats/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

namespace modellib {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Tensor> parse(absl::string_view bytes) {
  return parse_npy({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
}

// A version 1 file with this header and data.
std::string file(const std::string& header, const std::string& data, char version = 1) {
  std::string out("\x93NUMPY", 6);
  out += version;
  out += '\0';
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  if (version > 1) out += std::string(2, '\0');
  return out + header + data;
}

TEST(Npy, EveryTypeAndShapeComesBack) {
  for (int d = 1; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    if (bits_of(dtype) == 0) continue;
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{}, {3}, {2, 3}, {0, 4}, {2, 1, 2}}) {
      Tensor t = *Tensor::zeros(dtype, shape);
      for (int64_t i = 0; i < t.elements(); ++i) t.set(i, static_cast<double>(i % 8) - (i % 3));
      const std::string bytes = *npy_bytes(t);
      const absl::StatusOr<Tensor> back = parse(bytes);
      ASSERT_TRUE(back.ok()) << back.status();
      ASSERT_EQ(back->shape(), shape);
      for (int64_t i = 0; i < t.elements(); ++i)
        EXPECT_EQ(back->at(i), t.at(i)) << to_string(dtype);
      if (bits_of(dtype) >= 16 && dtype != DType::kBF16) EXPECT_TRUE(back->identical(t));
      EXPECT_EQ((bytes.size() - static_cast<size_t>(back->bytes())) % 64, 0u);
    }
  }
}

TEST(Npy, ReadsWhatNumPyWrote) {
  // testdata/make_npy.py: the numbers 0, 1, 2 ... of shape [2, 3, 4] in each form.
  for (const char* name : {"f4", "f8", "f2", "i8", "i2", "u1", "big_f4", "big_i2", "fortran_f8",
                           "big_fortran_i4", "version2", "version3"}) {
    const absl::StatusOr<Tensor> t = read_npy(std::string("formats/testdata/") + name + ".npy");
    ASSERT_TRUE(t.ok()) << t.status();
    EXPECT_EQ(t->shape(), (std::vector<int64_t>{2, 3, 4})) << name;
    for (int64_t i = 0; i < t->elements(); ++i) EXPECT_EQ(t->at(i), static_cast<double>(i)) << name;
  }
  const Tensor bools = *read_npy("formats/testdata/bool.npy");
  EXPECT_EQ(bools.dtype(), DType::kBool);
  EXPECT_EQ(bools.int_at(1), 1);
  EXPECT_EQ(read_npy("formats/testdata/scalar.npy")->at(0), 2.5);
}

TEST(Npy, RefusesWhatItCannotHold) {
  for (const char* name : {"complex", "string", "structured"}) {
    const auto t = read_npy(std::string("formats/testdata/") + name + ".npy");
    EXPECT_EQ(t.status().code(), absl::StatusCode::kUnimplemented) << name;
    EXPECT_THAT(std::string(t.status().message()), HasSubstr(name));
  }
  EXPECT_EQ(read_npy("formats/testdata/none.npy").status().code(), absl::StatusCode::kNotFound);
}

TEST(Npy, ErrorsSayWhat) {
  const std::string good = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n";
  EXPECT_TRUE(parse(file(good, "ab")).ok());
  EXPECT_TRUE(parse(file(good, "ab", 2)).ok());
  const std::pair<std::string, const char*> kCases[] = {
      {"", "not an .npy file"},
      {"\x93NUMPY", "not an .npy file"},
      {file(good, "ab", 9), "format version 9"},
      {file(good, "ab").substr(0, 30), ".npy header of"},
      {file(good, "a"), "needs 2 bytes, has 1"},
      {file(good, "abc"), "needs 2 bytes, has 3"},
      {file("[]", ""), "expected a dictionary"},
      {file("{", ""), "expected a string"},
      {file("{'descr", ""), "a string that does not end"},
      {file("{'color': 1}", ""), "unexpected key 'color'"},
      {file("{'descr': '<f4', 'descr': '<f4'}", ""), "unexpected key 'descr'"},
      {file("{'descr': '<f4'}", ""), "is missing"},
      {file("{'descr': '<f4' 'shape': ()}", ""), "expected ',' or '}'"},
      {file("{'fortran_order': Maybe}", ""), "expected True or False"},
      {file("{'shape': 3}", ""), "expected a tuple"},
      {file("{'shape': (-3,)}", ""), "expected a 64-bit extent"},
      {file("{'shape': (99999999999999999999,)}", ""), "expected a 64-bit extent"},
      {file("{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999,9999999999)}", ""),
       "too many elements"},
      {file("{'descr': '?u1', 'fortran_order': False, 'shape': ()}", "a"), "byte order"},
      {file("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': ()}", "a"), "'<M8[ns]'"},
      {file(good + "x", "ab"), "text after the dictionary"},
  };
  for (const auto& [bytes, message] : kCases) {
    const auto t = parse(bytes);
    ASSERT_FALSE(t.ok()) << message;
    EXPECT_THAT(std::string(t.status().message()), HasSubstr(message));
  }
}

TEST(Npy, FilesAppearWhole) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/t.npy";
  const Tensor t = *Tensor::of<float>({2}, {1.5f, -2.0f});
  ASSERT_TRUE(write_npy(path, t).ok());
  EXPECT_TRUE(read_npy(path)->identical(t));
  EXPECT_EQ(write_npy("/no/such/folder/t.npy", t).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(read_npy(std::getenv("TEST_TMPDIR")).ok());
}

}  // namespace
}  // namespace modellib
