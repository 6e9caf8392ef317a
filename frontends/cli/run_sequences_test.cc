// `run` with sequences and optionals: from files to files.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "modellib/formats/file_bytes.h"
#include "modellib/formats/npy.h"
#include "modellib/frontends/cli/command.h"
#include "modellib/frontends/cli/program.h"
#include "modellib/frontends/onnx/tensor_proto.h"
#include "modellib/frontends/onnx/test_model.h"

namespace modellib::cli {
namespace {

using onnx::TestModel;

Tensor floats(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  return *Tensor::of<float>(shape, values);
}

// A folder with the model: t = s with x at its end, z = o if it has an element.
class RunSequences : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "/sequences");
    std::filesystem::create_directories(folder_);
    TestModel m;
    m.sequence("s", {"rows", "2"});
    m.input("x", {"rows", "2"});
    m.optional("o", {"n"});
    m.node("SequenceInsert", {"s", "x"}, {"t"});
    m.node("Identity", {"o"}, {"z"});
    m.output("t");
    m.output("z");
    m.graph().mutable_output(1)->mutable_type()->mutable_optional_type();
    ASSERT_TRUE(write_file(file("model.onnx"), m.bytes()).ok());
    ASSERT_TRUE(write_npy(file("x.npy"), floats({1, 2}, {5, 6})).ok());
    ASSERT_TRUE(write_npy(file("o.npy"), floats({3}, {7, 8, 9})).ok());
    const std::vector<Tensor> two = {floats({1, 2}, {1, 2}), floats({2, 2}, {3, 4, 5, 6})};
    ASSERT_TRUE(onnx::write_sequence_proto(file("two.pb"), two).ok());
    ASSERT_TRUE(onnx::write_sequence_proto(file("none.pb"), {}).ok());
  }

  std::string file(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  absl::Status run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"run", file("model.onnx")});
    arguments.insert(arguments.end(), {"--output", folder_});
    Outcome outcome;
    const std::unique_ptr<CLI::App> program = make_program(outcome);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    program->parse(reversed);
    return outcome;
  }

  std::optional<std::vector<Tensor>> read(const std::string& name,
                                          onnx::Declaration declared) const {
    auto content = onnx::read_tensor_protos(file(name), declared);
    EXPECT_TRUE(content.ok()) << content.status();
    return content.ok() ? *std::move(content) : std::nullopt;
  }

  void remove_outputs() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().filename().string().rfind("output", 0) == 0) {
        std::filesystem::remove(entry.path());
      }
    }
  }

  std::string folder_;
};

TEST_F(RunSequences, FromFilesToFiles) {
  for (const char* device : {"cpu", "reference"}) {
    remove_outputs();
    const absl::Status status = run({file("two.pb"), file("x.npy"), file("o.npy"), "--device",
                                     device, "--output-format", "pb"});
    ASSERT_TRUE(status.ok()) << status;
    const std::optional<std::vector<Tensor>> t = read("output_0.pb", {.sequence = true});
    ASSERT_TRUE(t.has_value());
    ASSERT_EQ(t->size(), 3u);
    EXPECT_EQ((*t)[1].shape(), (std::vector<int64_t>{2, 2}));
    EXPECT_EQ((*t)[1].as<float>()[3], 6);
    EXPECT_EQ((*t)[2].as<float>()[0], 5);
    const std::optional<std::vector<Tensor>> z = read("output_1.pb", {.optional = true});
    ASSERT_TRUE(z.has_value());
    ASSERT_EQ(z->size(), 1u);
    EXPECT_EQ((*z)[0].elements(), 3);
  }
}

TEST_F(RunSequences, WriteEachTensorToAnArray) {
  remove_outputs();
  const absl::Status status =
      run({absl::StrCat("s=", file("two.pb")), absl::StrCat("o=", file("o.npy")), file("x.npy")});
  ASSERT_TRUE(status.ok()) << status;
  for (const char* name : {"output_0_0.npy", "output_0_1.npy", "output_0_2.npy", "output_1.npy"}) {
    EXPECT_TRUE(std::filesystem::exists(file(name))) << name;
  }
  const auto last = read_npy(file("output_0_2.npy"));
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->as<float>()[1], 6);
}

TEST_F(RunSequences, MayBeEmptyAndOptionalsToo) {
  for (const bool given : {false, true}) {
    remove_outputs();
    std::vector<std::string> arguments = {file("none.pb"), file("x.npy")};
    if (given) arguments.push_back(file("none.pb"));
    arguments.insert(arguments.end(), {"--output-format", "pb"});
    const absl::Status status = run(arguments);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(read("output_0.pb", {.sequence = true})->size(), 1u);
    EXPECT_FALSE(read("output_1.pb", {.optional = true}).has_value());
  }
}

// Nothing says that the second output is an optional.
TEST_F(RunSequences, WriteEmptyOutputsWithoutTypes) {
  TestModel m;
  m.input("x", {"1", "2"});
  m.node("Relu", {"x"}, {"y"});
  m.node("Optional", {}, {"o"});
  m.output("y");
  m.output("o");
  ASSERT_TRUE(write_file(file("model.onnx"), m.bytes()).ok());
  for (const char* format : {"pb", "npy"}) {
    remove_outputs();
    const absl::Status status = run({file("x.npy"), "--output-format", format});
    ASSERT_TRUE(status.ok()) << status;
  }
  EXPECT_FALSE(std::filesystem::exists(file("output_1.npy")));
}

TEST_F(RunSequences, SayWhatIsWrongWithTheFiles) {
  const auto code_of = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const absl::Status status = run(arguments);
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status;
    return exit_code(status);
  };
  EXPECT_EQ(code_of({file("nowhere.pb"), file("x.npy")}, "nowhere.pb"), 1);
  EXPECT_EQ(code_of({file("two.pb")}, "input 'x' is missing"), 1);
  EXPECT_EQ(code_of({file("two.pb"), file("two.pb")}, "input 'x' takes one tensor"), 1);
  EXPECT_EQ(code_of({file("o.npy"), file("x.npy")}, "input #0 's'"), 1);
  EXPECT_EQ(code_of({}, "input 's' is missing"), 1);
}

}  // namespace
}  // namespace modellib::cli
