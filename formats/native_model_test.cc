#include "modellib/formats/native_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>

#include "modellib/formats/file_bytes.h"
#include "modellib/formats/text_model.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/testing_ops.h"
#include "modellib/graph/text.h"

namespace modellib {
namespace {

using ::modellib::testing::EverythingAttributes;
using ::testing::HasSubstr;

const OpRegistry& ops() { return modellib::testing::ops(); }
std::string temporary(const std::string& name) {
  return std::string(std::getenv("TEST_TMPDIR")) + "/" + name;
}

// A program of two entries with everything that graphs can have.
Model sample() {
  const TensorType row{DType::kF32, {Dim::symbol("batch") * 2 + 1, 4}};
  GraphBuilder inner(ops(), "body");
  inner.output("out0", inner.emit_one("relu", {inner.input("in0", row)}));
  EverythingAttributes a;
  a.flag = true;
  a.count = -5;
  a.ratio = std::nan("7");
  a.label = std::string("zero \0 inside", 13);
  a.dtype = DType::kF8E5M2;
  a.sizes = {1, -2, 3};
  a.factors = {-0.0, std::numeric_limits<double>::infinity()};
  a.extents = {Dim::symbol("batch"), 7, max(Dim::symbol("n"), Dim(3))};
  a.table = *Tensor::of<double>({2}, {0.1, -0.0});
  a.body = *inner.build();
  a.axis = 0;

  GraphBuilder b(ops(), "train");
  b.set_range("batch", {1, 64});
  const Value x = b.input("x:0", row), y = b.input("y", {DType::kF32, {Dim::symbol("m"), 4}});
  b.variable({"unused", {DType::kI64, {}}, Variable::Kind::kSession});
  const Variable weight{"fc.weight", {DType::kF32, {100}}};
  const GraphBuilder::Scope scope(b, "layer");
  const Value h = b.emit_one("everything", {x}, Attributes::of(a));
  b.set_name(h, "hidden");
  b.output("sum", b.emit_one("add", {h, y}));
  b.output("part", b.emit("split", {b.variable(weight)})[1]);
  b.assign(weight, b.constant(*Tensor::zeros(DType::kF32, {100})));

  GraphBuilder e(ops(), "eval");
  e.output("w", e.emit_one("relu", {e.variable(weight)}));
  e.output("same", e.constant(*Tensor::zeros(DType::kF32, {100})));

  Model model;
  model.program.entries.push_back({"train", *b.build()});
  model.program.entries.push_back({"evaluate", *e.build()});
  Tensor content = *Tensor::zeros(DType::kF32, {100});
  for (int64_t i = 0; i < 100; ++i) content.set(i, 0.1 * static_cast<double>(i));
  model.variables["fc.weight"] = content;
  return model;
}

std::string text_of(const Program& program) {
  return print(program, {.max_inline_elements = 1000});
}

void expect_same(const Model& a, const Model& b) {
  EXPECT_EQ(text_of(a.program), text_of(b.program));
  ASSERT_EQ(a.program.entries.size(), b.program.entries.size());
  for (size_t i = 0; i < a.program.entries.size(); ++i) {
    EXPECT_EQ(a.program.entries[i].name, b.program.entries[i].name);
    EXPECT_TRUE(structurally_equal(*a.program.entries[i].graph, *b.program.entries[i].graph));
  }
  ASSERT_EQ(a.variables.size(), b.variables.size());
  for (const auto& [name, content] : a.variables) {
    ASSERT_TRUE(b.variables.contains(name));
    EXPECT_TRUE(content.identical(b.variables.at(name))) << name;
  }
}

absl::StatusOr<Model> read_bytes(const std::vector<std::byte>& bytes, bool trusted) {
  const auto container = Container::open(SharedBytes{bytes, nullptr}, {.trusted = trusted});
  if (!container.ok()) return container.status();
  return read_model(**container, ops());
}

TEST(NativeModel, ComesBackFromAFile) {
  const Model model = sample();
  const std::string path = temporary("sample.mlmodel");
  ASSERT_TRUE(write_model(model, path).ok());
  for (bool trusted : {true, false}) {
    const absl::StatusOr<Model> back = read_model(path, ops(), {.trusted = trusted});
    ASSERT_TRUE(back.ok()) << back.status();
    expect_same(model, *back);
    EXPECT_EQ(back->tensors.size(), 3u);  // the table, the zeros of both entries, the weight
  }
}

TEST(NativeModel, LongExpressionsComeBack) {
  const Dim n = Dim::symbol(std::string(Dim::kMaxText, 'd'));
  EverythingAttributes a;
  a.extents = {n};
  GraphBuilder b(ops(), "long");
  b.output("y", b.emit_one("everything", {b.input("x", {DType::kF32, {n}})}, Attributes::of(a)));
  Model model;
  model.program.entries.push_back({"main", *b.build()});
  const absl::StatusOr<Model> back = read_bytes(*model_bytes(model), false);
  ASSERT_TRUE(back.ok()) << back.status();
  expect_same(model, *back);
}

TEST(NativeModel, TensorsLieWhereTheContainerHasThem) {
  const std::vector<std::byte> bytes = *model_bytes(sample());
  Tensor weight;
  {
    const absl::StatusOr<Model> model = read_bytes(bytes, true);
    ASSERT_TRUE(model.ok()) << model.status();
    weight = model->variables.at("fc.weight");
  }
  EXPECT_EQ(weight.at(10), static_cast<double>(1.0f));  // outlives model and container
  EXPECT_EQ(reinterpret_cast<uintptr_t>(weight.data()) % 64, 0u);
}

TEST(NativeModel, RefusesContentOfAnotherType) {
  Model model = sample();
  model.variables["fc.weight"] = *Tensor::zeros(DType::kF32, {99});
  EXPECT_THAT(std::string(model_bytes(model).status().message()),
              HasSubstr("'fc.weight' is f32[100], its content f32[99]"));
  model.variables.clear();
  model.variables["other"] = *Tensor::zeros(DType::kF32, {1});
  EXPECT_THAT(std::string(model_bytes(model).status().message()), HasSubstr("no variable 'other'"));
}

TEST(NativeModel, ListsAllMissingOps) {
  const std::vector<std::byte> bytes = *model_bytes(sample());
  const auto container = Container::open(SharedBytes{bytes, nullptr}, {});
  const OpRegistry none;
  const absl::Status status = read_model(**container, none).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("add, constant, everything, relu, split"));
}

TEST(NativeModel, EveryTruncationAndManyChangesAreRefusedOrHarmless) {
  const std::vector<std::byte> bytes = *model_bytes(sample());
  for (size_t n = 0; n < bytes.size(); n += 1 + bytes.size() / 500) {
    EXPECT_FALSE(
        read_bytes({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n)}, false).ok());
  }
  for (size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 2000) {
    for (const int change : {1, 0x80, 0xff}) {
      std::vector<std::byte> changed = bytes;
      changed[at] ^= static_cast<std::byte>(change);
      // Trusted: checksums of metadata are checked all the same, segments' are not.
      (void)read_bytes(changed, true);
      (void)read_bytes(changed, false);
    }
  }
}

TEST(TextModel, ComesBackWithItsCompanion) {
  const Model model = sample();
  const std::string path = temporary("sample.mltxt");
  ASSERT_TRUE(write_text_model(model, path).ok());
  const absl::StatusOr<Model> back = read_text_model(path, ops());
  ASSERT_TRUE(back.ok()) << back.status();
  expect_same(model, *back);
  std::filesystem::remove(path + ".data");
  EXPECT_EQ(read_text_model(path, ops()).status().code(), absl::StatusCode::kNotFound);
}

Model small() {
  Model model;
  GraphBuilder b(ops(), "small");
  b.output("y", b.emit_one("relu", {b.input("x", {DType::kF32, {2}})}));
  model.program.entries.push_back({"small", *b.build()});
  return model;
}

TEST(TextModel, ATextThatCannotBeWrittenLeavesTheOldCompanion) {
  const std::string path = temporary("folder.mltxt");
  std::filesystem::create_directory(path);
  ASSERT_TRUE(write_file(path + ".data", "weights").ok());
  for (const Model& model : {sample(), small()}) {
    EXPECT_FALSE(write_text_model(model, path).ok());
    const absl::StatusOr<std::string> kept = read_file(path + ".data");
    ASSERT_TRUE(kept.ok()) << kept.status();
    EXPECT_EQ(*kept, "weights");
  }
}

TEST(TextModel, SmallOnesStandAlone) {
  const Model model = small();
  const std::string path = temporary("small.mltxt");
  ASSERT_TRUE(write_text_model(model, path).ok());
  EXPECT_FALSE(std::filesystem::exists(path + ".data"));
  expect_same(model, *read_text_model(path, ops()));
}

}  // namespace
}  // namespace modellib
