// How much memory the tensors of a model may take, beside what its files have.
#include "modellib/frontends/onnx/tensor_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::onnx {
namespace {

using onnx_proto::SparseTensorProto;
using onnx_proto::TensorProto;
using testing::HasSubstr;

constexpr int kFileBytes = 1000;

// A folder with a file w.bin.
std::string folder() {
  const std::string folder = testing::TempDir() + "/tensor_store";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/w.bin", std::ios::binary) << std::string(kFileBytes, '\7');
  return folder;
}

// A tensor of u8 at the beginning of the file, by one of its names.
TensorProto external(const std::vector<int64_t>& dims, const std::string& location = "w.bin") {
  TensorProto proto;
  proto.set_data_type(TensorProto::UINT8);
  for (int64_t d : dims) proto.add_dims(d);
  proto.set_data_location(TensorProto::EXTERNAL);
  auto& entry = *proto.add_external_data();
  entry.set_key("location");
  entry.set_value(location);
  return proto;
}

TEST(TensorStore, SharesThePartsOfFiles) {
  TensorStore store({folder()});
  std::vector<TensorProto> protos(10, external({10, 100}));
  protos.push_back(external({10, 100}, "./w.bin"));
  const auto first = store.take(protos[0]);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->int_at(999), 7);
  for (const TensorProto& proto : protos) {
    const auto other = store.take(proto);
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(other->data(), first->data());
  }
}

TEST(TensorStore, TakesFourTimesWhatAFileHas) {
  TensorStore store({folder()});
  std::vector<TensorProto> protos;
  for (const int64_t rows : {1, 2, 4, 5, 8}) protos.push_back(external({rows, kFileBytes / rows}));
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(store.take(protos[i]).ok()) << i;
  const absl::Status status = store.take(protos[4]).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("external data 'w.bin': more than 4 times"));
  EXPECT_TRUE(store.take(protos[0]).ok());
}

// 130 MiB of zeros.
SparseTensorProto large_and_empty() {
  SparseTensorProto proto;
  *proto.mutable_values() = make_tensor("w", {0}, {});
  *proto.mutable_indices() = make_integers("", {0}, {});
  proto.add_dims((int64_t{130} << 20) / 4);
  return proto;
}

TEST(TensorStore, MakesOnlySoMuchDense) {
  TensorStore store({});
  const SparseTensorProto a = large_and_empty(), b = large_and_empty();
  const auto first = store.take(a);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status status = store.take(b).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("132120576 are left"));
  const auto again = store.take(a);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->data(), first->data());
}

}  // namespace
}  // namespace modellib::onnx
