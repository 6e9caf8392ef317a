#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "modellib/compiler.h"
#include "modellib/frontends/capi/capi_test_util.h"
#include "modellib/modellib.h"

namespace modellib::capi {
namespace {

TEST(CApi, CompilesAndRuns) {
  modellib_plan* const plan = compile_net();
  modellib_session* const session = open(plan);
  modellib_plan_free(plan);  // the session keeps what it needs
  EXPECT_EQ(run_net(session), kY);
  // Into the session's own buffer, at other extents.
  const int64_t one_row[] = {1, 4};
  ASSERT_EQ(modellib_session_bind_input(session, 0, 0, kX.data(), one_row, 2), MODELLIB_OK);
  ASSERT_EQ(modellib_session_release_output(session, 0, 0), MODELLIB_OK);
  ASSERT_EQ(modellib_session_run(session, 0, nullptr), MODELLIB_OK);
  modellib_tensor tensor = {};
  tensor.size = sizeof(tensor);
  ASSERT_EQ(modellib_session_output(session, 0, 0, &tensor), MODELLIB_OK);
  EXPECT_EQ(tensor.dtype, MODELLIB_F32);
  ASSERT_EQ(tensor.rank, 2);
  EXPECT_EQ(tensor.extents[0], 1);
  EXPECT_EQ(tensor.bytes, 8u);
  EXPECT_EQ(static_cast<const float*>(tensor.data)[1], kY[1]);
  modellib_session_free(session);
}

TEST(CApi, DescribesPlans) {
  modellib_plan* const plan = compile_net();
  ASSERT_EQ(modellib_plan_entries(plan), 1);
  int32_t entry = -1, input = -1, output = -1, dim = -1;
  ASSERT_EQ(modellib_plan_find_entry(plan, "net", &entry), MODELLIB_OK) << message();
  ASSERT_EQ(modellib_plan_find_input(plan, entry, "x", &input), MODELLIB_OK);
  ASSERT_EQ(modellib_plan_find_output(plan, entry, "y", &output), MODELLIB_OK);
  ASSERT_EQ(modellib_plan_find_dim(plan, entry, "batch", &dim), MODELLIB_OK);
  modellib_entry_info info = {};
  info.size = sizeof(info);
  ASSERT_EQ(modellib_plan_entry(plan, entry, &info), MODELLIB_OK);
  EXPECT_STREQ(info.name, "net");
  EXPECT_EQ(info.inputs + info.outputs + info.dims, 3);
  EXPECT_EQ(info.writes_variables, 0);
  modellib_tensor_info x = {};
  x.size = sizeof(x);
  ASSERT_EQ(modellib_plan_input(plan, entry, input, &x), MODELLIB_OK);
  EXPECT_STREQ(x.name, "x");
  EXPECT_EQ(x.dtype, MODELLIB_F32);
  ASSERT_EQ(x.rank, 2);
  EXPECT_EQ(x.max_extents[0], 8);
  EXPECT_EQ(x.dims[0], dim);
  EXPECT_EQ(x.dims[1], -1);
  EXPECT_EQ(x.max_bytes, 8u * 4 * 4);
  EXPECT_NE(x.dynamic, 0);
  modellib_dim_info batch = {};
  batch.size = sizeof(batch);
  ASSERT_EQ(modellib_plan_dim(plan, entry, dim, &batch), MODELLIB_OK);
  EXPECT_STREQ(batch.name, "batch");
  EXPECT_EQ(batch.min, 1);
  EXPECT_EQ(batch.max, 8);
  EXPECT_EQ(modellib_plan_find_output(plan, entry, "z", &output), MODELLIB_NOT_FOUND);
  EXPECT_NE(message().find("there is: y"), std::string::npos) << message();
  EXPECT_EQ(modellib_plan_input(plan, entry, 1, &x), MODELLIB_OUT_OF_RANGE);
  EXPECT_EQ(modellib_plan_input(plan, 7, 0, &x), MODELLIB_OUT_OF_RANGE);
  modellib_plan_free(plan);
}

TEST(CApi, LoadsFromFileMemoryAndReader) {
  modellib_plan* const made = compile_net();
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/net.mlplan";
  ASSERT_EQ(modellib_plan_write(made, path.c_str()), MODELLIB_OK) << message();
  const Bytes bytes = serialize(made);
  modellib_plan_free(made);

  const auto check = [](modellib_plan* plan) {
    ASSERT_NE(plan, nullptr) << message();
    modellib_session* const session = open(plan);
    EXPECT_EQ(run_net(session), kY);
    modellib_session_free(session);
    modellib_plan_free(plan);
  };
  modellib_plan* plan = nullptr;
  for (const auto& [untrusted, copy] : {std::pair(0, 0), std::pair(0, 1), std::pair(1, 0)}) {
    modellib_load_options options = {};
    options.size = sizeof(options);
    options.untrusted = untrusted;
    options.copy = copy;
    EXPECT_EQ(modellib_plan_load_file(path.c_str(), &options, &plan), MODELLIB_OK) << message();
    check(plan);
    EXPECT_EQ(modellib_plan_load_memory(bytes.bytes.data(), bytes.bytes.size(), &options, &plan),
              MODELLIB_OK);
    check(plan);
  }
  // The file's bytes are those of serialize.
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> in_file((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(in_file, bytes.bytes);

  modellib_reader reader = {};
  reader.size = sizeof(reader);
  reader.length = bytes.bytes.size();
  reader.user = const_cast<Bytes*>(&bytes);
  reader.read = [](void* user, uint64_t offset, void* into, uint64_t count) {
    std::memcpy(into, static_cast<Bytes*>(user)->bytes.data() + offset, count);
    return MODELLIB_OK;
  };
  EXPECT_EQ(modellib_plan_load_reader(&reader, nullptr, &plan), MODELLIB_OK) << message();
  check(plan);
  reader.read = [](void*, uint64_t, void*, uint64_t) { return MODELLIB_PERMISSION_DENIED; };
  EXPECT_EQ(modellib_plan_load_reader(&reader, nullptr, &plan), MODELLIB_PERMISSION_DENIED);
  EXPECT_EQ(plan, nullptr);
  EXPECT_NE(message().find("reader"), std::string::npos);
}

TEST(CApi, RefusesWhatIsNoPlan) {
  modellib_plan* plan = nullptr;
  EXPECT_EQ(modellib_plan_load_file("/nowhere/x.mlplan", nullptr, &plan), MODELLIB_NOT_FOUND);
  EXPECT_NE(message().find("/nowhere/x.mlplan"), std::string::npos);
  EXPECT_EQ(modellib_plan_load_memory(kNet, sizeof(kNet), nullptr, &plan),
            MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(plan, nullptr);
  modellib_plan* const made = compile_net();
  Bytes bytes = serialize(made);
  modellib_plan_free(made);
  bytes.bytes.back() ^= 1;  // of the metadata or of a checksum
  EXPECT_NE(modellib_plan_load_memory(bytes.bytes.data(), bytes.bytes.size(), nullptr, &plan),
            MODELLIB_OK);
  EXPECT_EQ(modellib_compile_memory("\x01\x02", 2, nullptr, &plan), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_compile_memory(kNet, sizeof(kNet) - 1, nullptr, &plan),
            MODELLIB_INVALID_ARGUMENT);
  EXPECT_NE(message().find("batch"), std::string::npos) << message();
}

TEST(CApi, RefusesADimensionThatIsGivenTwice) {
  const modellib_dim_range dims[] = {{"batch", 4, 4}, {"batch", 1, 5}};
  modellib_compile_options options = {};
  options.size = sizeof(options);
  options.dims = dims;
  options.dim_count = 2;
  modellib_plan* plan = nullptr;
  EXPECT_EQ(modellib_compile_memory(kNet, sizeof(kNet) - 1, &options, &plan),
            MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(plan, nullptr);
  EXPECT_NE(message().find("'batch' is given twice"), std::string::npos) << message();
}

TEST(CApi, NullIsAnError) {
  modellib_plan* plan = nullptr;
  modellib_session* session = nullptr;
  EXPECT_EQ(modellib_plan_load_file(nullptr, nullptr, &plan), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_plan_load_file("x", nullptr, nullptr), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_plan_load_memory(nullptr, 4, nullptr, &plan), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_plan_load_reader(nullptr, nullptr, &plan), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_session_create(nullptr, nullptr, &session), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_session_run(nullptr, 0, nullptr), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_plan_entries(nullptr), 0);
  EXPECT_EQ(modellib_plan_session_bytes(nullptr), 0u);
  EXPECT_EQ(modellib_plan_find_entry(nullptr, "x", nullptr), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_compile_file(nullptr, nullptr, &plan), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_plan_write(nullptr, "x"), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_cancel_create(nullptr), MODELLIB_INVALID_ARGUMENT);
  modellib_plan_free(nullptr);
  modellib_session_free(nullptr);
  modellib_variables_free(nullptr);
  modellib_cancel_free(nullptr);
  modellib_cancel_set(nullptr);
}

// What hosts that were built against an older or a newer header pass.
TEST(CApi, StructsOfAnyVersion) {
  modellib_plan* const plan = compile_net();
  modellib_session* session = nullptr;
  struct Newer {
    modellib_session_options known;
    int64_t more;
  } newer = {};
  newer.known.size = sizeof(newer);
  EXPECT_EQ(modellib_session_create(plan, &newer.known, &session), MODELLIB_OK) << message();
  modellib_session_free(session);
  newer.more = 1;
  EXPECT_EQ(modellib_session_create(plan, &newer.known, &session), MODELLIB_INVALID_ARGUMENT);
  EXPECT_NE(message().find("newer"), std::string::npos);
  // An older one ends after `threads`: what lies behind it is not read.
  modellib_session_options older;
  std::memset(&older, 0xff, sizeof(older));
  older.size = offsetof(modellib_session_options, published);
  older.threads = 1;
  EXPECT_EQ(modellib_session_create(plan, &older, &session), MODELLIB_OK) << message();
  modellib_session_free(session);
  older.size = 0;
  EXPECT_EQ(modellib_session_create(plan, &older, &session), MODELLIB_INVALID_ARGUMENT);

  modellib_dim_info info;
  std::memset(&info, 0x5a, sizeof(info));
  info.size = offsetof(modellib_dim_info, max);
  ASSERT_EQ(modellib_plan_dim(plan, 0, 0, &info), MODELLIB_OK);
  EXPECT_EQ(info.min, 1);
  EXPECT_EQ(info.max, 0x5a5a5a5a5a5a5a5a) << "beyond the caller's version";
  modellib_plan_free(plan);
}

TEST(CApi, ErrorsSayWhatWasExpected) {
  modellib_plan* const plan = compile_net();
  modellib_session* const session = open(plan);
  const int64_t wrong[] = {2, 5}, many[] = {9, 4}, none[] = {0, 4};
  EXPECT_EQ(modellib_session_run(session, 0, nullptr), MODELLIB_FAILED_PRECONDITION);
  EXPECT_NE(message().find("'x' is not bound"), std::string::npos) << message();
  EXPECT_EQ(modellib_session_bind_input(session, 0, 0, kX.data(), wrong, 2),
            MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_session_bind_input(session, 0, 0, kX.data(), wrong, 1),
            MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_session_bind_input(session, 0, 0, kX.data(), wrong, -1),
            MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_session_bind_input(session, 0, 0, kX.data(), many, 2),
            MODELLIB_FAILED_PRECONDITION);
  EXPECT_NE(message().find("batch = 9"), std::string::npos) << message();
  EXPECT_EQ(modellib_session_bind_input(session, 0, 0, kX.data(), none, 2),
            MODELLIB_FAILED_PRECONDITION);
  EXPECT_NE(message().find("batch = 0"), std::string::npos) << message();
  EXPECT_EQ(modellib_session_run(session, 3, nullptr), MODELLIB_INVALID_ARGUMENT);
  modellib_tensor tensor = {};
  tensor.size = sizeof(tensor);
  EXPECT_EQ(modellib_session_output(session, 0, 0, &tensor), MODELLIB_FAILED_PRECONDITION);
  EXPECT_EQ(modellib_session_output(session, 0, 1, &tensor), MODELLIB_OUT_OF_RANGE);
  EXPECT_STREQ(modellib_status_name(MODELLIB_DATA_LOSS), "DATA_LOSS");
  EXPECT_STREQ(modellib_status_name(static_cast<modellib_status>(77)), "UNKNOWN");
  // Another thread has a text of its own.
  std::thread([] { EXPECT_STREQ(modellib_error_message(), ""); }).join();
  modellib_session_free(session);
  modellib_plan_free(plan);
}

TEST(CApi, KeepsIntermediateValuesByName) {
  modellib_plan* const plan = compile(kNet, {{"batch", 2, 2}}, {"h", "y"});
  int32_t h = -1;
  ASSERT_EQ(modellib_plan_find_output(plan, 0, "h", &h), MODELLIB_OK) << message();
  modellib_session* const session = open(plan);
  EXPECT_EQ(run_net(session), kY);
  modellib_tensor tensor = {};
  tensor.size = sizeof(tensor);
  ASSERT_EQ(modellib_session_output(session, 0, h, &tensor), MODELLIB_OK);
  ASSERT_EQ(tensor.bytes, sizeof(kH));
  EXPECT_TRUE(std::equal(kH.begin(), kH.end(), static_cast<const float*>(tensor.data)));
  modellib_session_free(session);
  modellib_plan_free(plan);

  const char* const absent[] = {"nowhere"};
  modellib_compile_options options = {};
  options.size = sizeof(options);
  options.keep = absent;
  options.keep_count = 1;
  modellib_plan* none = nullptr;
  EXPECT_EQ(modellib_compile_memory(kNet, sizeof(kNet) - 1, &options, &none), MODELLIB_NOT_FOUND);
  EXPECT_NE(message().find("nowhere"), std::string::npos);
}

TEST(CApi, TellsOfSteps) {
  modellib_plan* const plan = compile_net();
  struct Seen {
    std::mutex mutex;
    std::vector<std::string> kernels;
    float last = 0;
  } seen;
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.step_user = &seen;
  options.on_step = [](void* user, const modellib_step* step) {
    Seen& to = *static_cast<Seen*>(user);
    const std::lock_guard<std::mutex> lock(to.mutex);
    to.kernels.push_back(step->kernel);
    if (step->outputs > 0) std::memcpy(&to.last, step->buffers[0], sizeof(to.last));
  };
  modellib_session* const session = open(plan, &options);
  EXPECT_EQ(run_net(session), kY);
  ASSERT_FALSE(seen.kernels.empty());
  EXPECT_EQ(seen.last, kY[0]);
  modellib_session_free(session);
  modellib_plan_free(plan);
}

TEST(CApi, StopsWhenToldTo) {
  modellib_plan* const plan = compile_net();
  modellib_session* const session = open(plan);
  modellib_cancel* cancel = nullptr;
  ASSERT_EQ(modellib_cancel_create(&cancel), MODELLIB_OK);
  modellib_run_options options = {};
  options.size = sizeof(options);
  options.cancel = cancel;
  modellib_cancel_set(cancel);
  run_net(session, MODELLIB_CANCELLED, &options);
  modellib_cancel_reset(cancel);
  EXPECT_EQ(run_net(session, MODELLIB_OK, &options), kY);
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t ns = now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
  options.deadline_ns = ns;
  run_net(session, MODELLIB_DEADLINE_EXCEEDED, &options);
  options.deadline_ns = ns + 60'000'000'000;
  EXPECT_EQ(run_net(session, MODELLIB_OK, &options), kY);
  modellib_cancel_free(cancel);
  modellib_session_free(session);
  modellib_plan_free(plan);
}

TEST(CApi, TakesAnyNumberOfThreadsAndPrintsNothing) {
  modellib_plan* const plan = compile_net();
  ::testing::internal::CaptureStderr();
  for (const int32_t threads : {64, 10'000'000, std::numeric_limits<int32_t>::max()}) {
    modellib_session_options options = {};
    options.size = sizeof(options);
    options.threads = threads;
    modellib_session* const session = open(plan, &options);
    EXPECT_EQ(run_net(session), kY) << threads;
    modellib_session_free(session);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  modellib_plan_free(plan);
}

TEST(CApi, LogsToTheSinkAlone) {
  std::vector<std::pair<modellib_log_level, std::string>> lines;
  modellib_log log = {};
  log.size = sizeof(log);
  log.user = &lines;
  log.write = [](void* user, modellib_log_level level, const char* text) {
    static_cast<decltype(lines)*>(user)->emplace_back(level, text);
  };
  const modellib_dim_range batch = {"batch", 1, 8};
  modellib_compile_options options = {};
  options.size = sizeof(options);
  options.dims = &batch;
  options.dim_count = 1;
  options.log = &log;
  modellib_plan* plan = nullptr;
  ASSERT_EQ(modellib_compile_memory(kNet, sizeof(kNet) - 1, &options, &plan), MODELLIB_OK);
  bool passes = false, entry = false;
  for (const auto& [level, text] : lines) {
    passes = passes || (level == MODELLIB_LOG_DEBUG && text.find("fusion") != std::string::npos);
    entry = entry || (level == MODELLIB_LOG_INFO && text.find("'net'") != std::string::npos);
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
  EXPECT_TRUE(passes);
  EXPECT_TRUE(entry);
  modellib_plan_free(plan);
  lines.clear();
  log.min_level = MODELLIB_LOG_WARNING;
  ASSERT_EQ(modellib_compile_memory(kNet, sizeof(kNet) - 1, &options, &plan), MODELLIB_OK);
  EXPECT_TRUE(lines.empty());
  modellib_plan_free(plan);
}

TEST(CApi, HasAVersion) {
  const std::string version = std::to_string(MODELLIB_VERSION_MAJOR) + "." +
                              std::to_string(MODELLIB_VERSION_MINOR) + "." +
                              std::to_string(MODELLIB_VERSION_PATCH);
  EXPECT_EQ(modellib_version(), version);
  EXPECT_EQ(modellib_version_number(), MODELLIB_VERSION_MAJOR * 1000000u +
                                           MODELLIB_VERSION_MINOR * 1000u + MODELLIB_VERSION_PATCH);
}

}  // namespace
}  // namespace modellib::capi
