#include "modellib/tests/alloc_counter.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace modellib {
namespace {

// Keeps the compiler from leaving out an allocation that nobody looks at.
void use(void* memory) { asm volatile("" : : "r"(memory) : "memory"); }

class AllocationCountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!AllocationCount::available()) GTEST_SKIP() << "a sanitizer owns malloc";
  }
};

TEST_F(AllocationCountTest, CountsNothingWhereNothingIsAllocated) {
  int x = 0;
  AllocationCount count;
  for (int i = 0; i < 1000; ++i) use(&x);
  EXPECT_EQ(count.stop(), 0) << count.describe();
}

TEST_F(AllocationCountTest, CountsEachKind) {
  AllocationCount count;
  void* const a = std::malloc(10);
  use(a);
  EXPECT_EQ(count.calls(), 1);
  void* const b = std::calloc(2, 5);
  use(b);
  EXPECT_EQ(count.calls(), 2);
  void* const c = std::realloc(a, 1000);
  use(c);
  EXPECT_EQ(count.calls(), 3);
  void* const d = std::aligned_alloc(64, 64);
  use(d);
  EXPECT_EQ(count.calls(), 4);
  void* e = nullptr;
  ASSERT_EQ(posix_memalign(&e, 64, 64), 0);
  EXPECT_EQ(count.calls(), 5);
  void* const f = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(f, MAP_FAILED);
  EXPECT_EQ(count.calls(), 6);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(d) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(e) % 64, 0u);
  int* const g = new int(1);
  use(g);
  EXPECT_EQ(count.calls(), 7);
  auto* const h = new std::vector<double>(5);
  use(h->data());
  EXPECT_EQ(count.stop(), 9);
  use(std::malloc(1));  // after stop: not counted
  EXPECT_EQ(count.calls(), 9);
  EXPECT_NE(count.describe().find("malloc"), std::string::npos);
  std::free(b);
  std::free(c);
  std::free(d);
  std::free(e);
  ::munmap(f, 4096);
  delete g;
  delete h;
}

TEST_F(AllocationCountTest, CountsExcusedCallsApart) {
  AllocationCount count;
  {
    const AllocationExcuse excuse;
    void* const a = std::malloc(10);
    use(a);
    std::free(a);
    std::thread([] {
      void* const b = std::malloc(10);  // another thread has no excuse
      use(b);
      std::free(b);
    }).join();
  }
  void* const c = std::malloc(10);
  use(c);
  count.stop();
  std::free(c);
  EXPECT_EQ(count.calls(), 2);
  EXPECT_GE(count.excused(), 1);
}

TEST_F(AllocationCountTest, CountsOnEveryThread) {
  std::atomic<bool> go{false};
  std::unique_ptr<int> made;
  std::thread thread([&] {
    go.wait(false);
    made = std::make_unique<int>(1);
  });
  AllocationCount count;
  go.store(true);
  go.notify_one();
  thread.join();
  EXPECT_EQ(count.stop(), 1) << count.describe();
}

}  // namespace
}  // namespace modellib
