#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "modellib/modellib.hpp"

namespace ml = modellib::api;

namespace {

constexpr char kModel[] = R"(graph "double" (x: f32[n]) {
  dim n in 1..16
  h = add(x, x)
  y = relu(h)
  return y
})";

ml::Plan compile(const ml::CompileOptions& options = {}) {
  ml::Result<ml::Plan> plan = ml::compile(kModel, sizeof(kModel) - 1, options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return *std::move(plan);
}

TEST(Wrapper, CompilesWritesLoadsAndRuns) {
  static_assert(!std::is_copy_constructible_v<ml::Plan>);
  static_assert(std::is_nothrow_move_constructible_v<ml::Session>);
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/double.mlplan";
  ASSERT_TRUE(compile().write(path).ok());
  std::vector<std::string> log;
  ml::LoadOptions load;
  load.log = [&](modellib_log_level, const char* text) { log.push_back(text); };
  ml::Result<ml::Plan> plan = ml::Plan::load(path, load);
  ASSERT_TRUE(plan) << plan.status().message();
  EXPECT_FALSE(log.empty());
  EXPECT_EQ(plan->entries(), 1);
  const ml::Result<int32_t> entry = plan->entry("double");
  ASSERT_TRUE(entry);
  EXPECT_EQ(*plan->input(*entry, "x"), 0);
  EXPECT_EQ(plan->dim_info(*entry, 0)->max, 16);
  EXPECT_EQ(plan->input(*entry, "z").status().code(), MODELLIB_NOT_FOUND);

  int steps = 0;
  ml::SessionOptions options;
  options.threads = 1;
  options.on_step = [&](const modellib_step&) { ++steps; };
  ml::Result<ml::Session> made = ml::Session::create(*plan, options);
  ASSERT_TRUE(made) << made.status().message();
  ml::Session session = *std::move(made);  // on_step goes along
  const std::array<float, 3> x = {1, -2, 3};
  std::array<float, 3> y = {};
  ASSERT_TRUE(session.bind_input(*entry, 0, x.data(), {3}));
  ASSERT_TRUE(session.bind_output(*entry, 0, y.data(), sizeof(y)));
  ml::RunOptions run;
  run.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  ASSERT_TRUE(session.run(*entry, run));
  EXPECT_EQ(y, (std::array<float, 3>{2, 0, 6}));
  EXPECT_GT(steps, 0);
  const ml::Result<ml::Tensor> output = session.output(*entry, 0);
  ASSERT_TRUE(output);
  EXPECT_EQ(output->extents, std::vector<int64_t>{3});
  EXPECT_EQ(output->as<float>(), y.data());

  run.deadline = std::chrono::steady_clock::now();
  EXPECT_EQ(session.run(*entry, run).code(), MODELLIB_DEADLINE_EXCEEDED);
  run.deadline = {};  // the clock's first moment
  EXPECT_EQ(session.run(*entry, run).code(), MODELLIB_DEADLINE_EXCEEDED);
  ml::CancelToken cancel;
  cancel.cancel();
  run = {};
  run.cancel = &cancel;
  EXPECT_EQ(session.run(*entry, run).code(), MODELLIB_CANCELLED);
}

class Bytes final : public ml::Reader {
 public:
  explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  modellib_status read(uint64_t offset, void* into, uint64_t bytes) override {
    std::memcpy(into, bytes_.data() + offset, bytes);
    return MODELLIB_OK;
  }

 private:
  std::string bytes_;
};

TEST(Wrapper, ReadsAndKeeps) {
  ml::CompileOptions options;
  options.dims = {{"n", 2, 2}};
  options.keep = {"h"};
  const ml::Plan plan = compile(options);
  std::string bytes;
  const ml::Status serialized = plan.serialize([&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return MODELLIB_OK;
  });
  ASSERT_TRUE(serialized) << serialized.message();
  EXPECT_EQ(plan.serialize([](const void*, size_t) { return MODELLIB_ABORTED; }).code(),
            MODELLIB_ABORTED);
  EXPECT_EQ(plan.serialize(nullptr).code(), MODELLIB_INVALID_ARGUMENT);
  Bytes reader(bytes);
  const ml::Result<ml::Plan> loaded = ml::Plan::load(reader);
  ASSERT_TRUE(loaded) << loaded.status().message();
  EXPECT_TRUE(loaded->output(0, "h"));
  const ml::Result<ml::Plan> none = ml::Plan::load("/nowhere");
  EXPECT_FALSE(none);
  EXPECT_STREQ(none.status().name(), "NOT_FOUND");
  EXPECT_NE(none.status().message().find("/nowhere"), std::string::npos);
}

TEST(Wrapper, SharesVariables) {
  constexpr char kCounter[] = R"(graph "count" (x: f32[1]) {
    v: var f32[1] "v"
    t = add(v, x)
    assign "v" = t
    return t
  }
  graph "initialize" (seed: i64[]) {
    v: var f32[1] "v"
    zero = constant() {value: f32[1] [5]}
    assign "v" = zero
  })";
  const ml::Result<ml::Plan> plan = ml::compile(kCounter, sizeof(kCounter) - 1);
  ASSERT_TRUE(plan) << plan.status().message();
  ml::Result<ml::Variables> variables = ml::Variables::create({&*plan});
  ASSERT_TRUE(variables) << variables.status().message();
  ASSERT_EQ(variables->count(), 1);
  const ml::Result<modellib_variable_info> info = variables->info(0);
  ASSERT_TRUE(info) << info.status().message();
  EXPECT_STREQ(info->name, "v");
  EXPECT_EQ(info->bytes, sizeof(float));
  EXPECT_EQ(variables->info(1).status().code(), MODELLIB_OUT_OF_RANGE);
  ml::SessionOptions options;
  options.variables = &*variables;
  ml::Result<ml::Session> session = ml::Session::create(*plan, options);
  ASSERT_TRUE(session) << session.status().message();
  const float x = 2;
  const int32_t entry = *plan->entry("count");
  ASSERT_TRUE(session->bind_input(entry, 0, &x, {1}));
  ASSERT_TRUE(session->run(entry));
  float v = 0;
  ASSERT_TRUE(variables->read("v", &v, sizeof(v)));
  EXPECT_EQ(v, 7);
  v = 1;
  ASSERT_TRUE(variables->write("v", &v, sizeof(v)));
  ASSERT_TRUE(variables->publish());
  ASSERT_TRUE(session->run(entry));
  ASSERT_TRUE(variables->read("v", &v, sizeof(v)));
  EXPECT_EQ(v, 3);

  int calls = 0;
  modellib_allocator allocator = {};
  allocator.size = sizeof(allocator);
  allocator.allocate = [](void* user, size_t bytes, size_t alignment) {
    ++*static_cast<int*>(user);
    return std::aligned_alloc(alignment, bytes);
  };
  allocator.deallocate = [](void*, void* memory, size_t, size_t) { std::free(memory); };
  allocator.user = &calls;
  ml::VariablesOptions own;
  own.threads = 2;
  own.allocator = &allocator;
  EXPECT_TRUE(ml::Variables::create({&*plan}, own));
  EXPECT_GT(calls, 0);
  own.max_bytes = 1;
  EXPECT_EQ(ml::Variables::create({&*plan}, own).status().code(), MODELLIB_RESOURCE_EXHAUSTED);
}

TEST(Wrapper, HasAVersion) {
  EXPECT_EQ(ml::version(), modellib_version());
  EXPECT_EQ(ml::version_number(), modellib_version_number());
}

}  // namespace
