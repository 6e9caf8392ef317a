// Memory that the host brings: an allocator, a block for a session, limits.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>

#include "modellib/frontends/capi/capi_test_util.h"
#include "modellib/frontends/capi/test_models.h"
#include "modellib/modellib.h"

namespace modellib::capi {
namespace {

constexpr char kCopy[] = R"(graph "copy" (x: f32[4]) {
  y = relu(x)
  return y
})";

struct CountingHeap {
  std::mutex mutex;
  std::map<void*, size_t> live;
  size_t calls = 0;
  size_t most = SIZE_MAX;

  static void* allocate(void* user, size_t bytes, size_t alignment) {
    auto& heap = *static_cast<CountingHeap*>(user);
    const std::lock_guard<std::mutex> lock(heap.mutex);
    if (++heap.calls > heap.most) return nullptr;
    void* const memory = std::aligned_alloc(alignment, bytes);
    heap.live[memory] = bytes;
    return memory;
  }
  static void deallocate(void* user, void* memory, size_t bytes, size_t) {
    auto& heap = *static_cast<CountingHeap*>(user);
    const std::lock_guard<std::mutex> lock(heap.mutex);
    EXPECT_EQ(heap.live.at(memory), bytes);
    heap.live.erase(memory);
    std::free(memory);
  }
  modellib_allocator api() {
    modellib_allocator c = {};
    c.size = sizeof(c);
    c.allocate = &allocate;
    c.deallocate = &deallocate;
    c.user = this;
    return c;
  }
};

auto load_copied(const Bytes& bytes, const modellib_allocator& allocator, modellib_plan** plan) {
  modellib_load_options load = {};
  load.size = sizeof(load);
  load.copy = 1;
  load.allocator = &allocator;
  return modellib_plan_load_memory(bytes.bytes.data(), bytes.bytes.size(), &load, plan);
}

TEST(CApiMemory, TakesMemoryFromTheCallersAllocator) {
  modellib_plan* const made = compile(kCounters);
  const Bytes bytes = serialize(made);
  modellib_plan_free(made);
  CountingHeap heap;
  {
    const modellib_allocator allocator = heap.api();
    modellib_plan* plan = nullptr;
    ASSERT_EQ(load_copied(bytes, allocator, &plan), MODELLIB_OK);
    EXPECT_EQ(heap.calls, 1u) << "the copy";
    modellib_session_options options = {};
    options.size = sizeof(options);
    options.allocator = &allocator;
    modellib_session* const session = open(plan, &options);
    EXPECT_EQ(heap.calls, 4u) << "variables, their first run, the session";
    modellib_plan_free(plan);
    modellib_session_free(session);
  }
  EXPECT_TRUE(heap.live.empty());

  heap.most = heap.calls;
  const modellib_allocator allocator = heap.api();
  modellib_plan* plan = nullptr;
  EXPECT_EQ(load_copied(bytes, allocator, &plan), MODELLIB_RESOURCE_EXHAUSTED);
}

TEST(CApiMemory, RunsInTheCallersMemory) {
  modellib_plan* const plan = compile_net();
  {
    char page = 0;
    modellib_session_options options = {};
    options.size = sizeof(options);
    options.memory = &page;
    modellib_session* session = nullptr;
    EXPECT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_INVALID_ARGUMENT)
        << "memory of no bytes";
  }
  const size_t bytes = modellib_plan_session_bytes(plan);
  void* const memory = std::aligned_alloc(4096, bytes);
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.memory = memory;
  options.memory_bytes = bytes;
  modellib_session* session = open(plan, &options);
  EXPECT_EQ(run_net(session), kY);
  modellib_session_free(session);
  options.memory = static_cast<char*>(memory) + 64;
  EXPECT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_INVALID_ARGUMENT);
  options.memory = nullptr;
  options.max_bytes = 1;
  EXPECT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_RESOURCE_EXHAUSTED);
  EXPECT_EQ(session, nullptr);
  std::free(memory);
  modellib_plan_free(plan);
}

// To the byte, whatever the plan needs: the second one takes nothing for itself.
TEST(CApiMemory, TakesWhatSessionBytesSays) {
  for (const char* const model : {kCounters, kCopy}) {
    modellib_plan* const plan = compile(model);
    modellib_variables* variables = nullptr;
    ASSERT_EQ(modellib_variables_create(&plan, 1, nullptr, &variables), MODELLIB_OK) << message();
    CountingHeap heap;
    const modellib_allocator allocator = heap.api();
    modellib_session_options options = {};
    options.size = sizeof(options);
    options.variables = variables;
    options.allocator = &allocator;
    options.max_bytes = modellib_plan_session_bytes(plan);
    modellib_session* session = open(plan, &options);
    size_t taken = 0;
    for (const auto& [memory, bytes] : heap.live) taken += bytes;
    EXPECT_EQ(taken, options.max_bytes);
    modellib_session_free(session);
    --options.max_bytes;
    EXPECT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_RESOURCE_EXHAUSTED);
    EXPECT_EQ(session, nullptr);
    modellib_variables_free(variables);
    modellib_plan_free(plan);
  }
}

}  // namespace
}  // namespace modellib::capi
