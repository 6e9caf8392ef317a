// A forked child: its parent's plans serve it, its parent's sessions refuse, and all can be made
// anew, threads too, whatever the parent was doing at the moment.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "modellib/compiler.h"
#include "modellib/frontends/capi/test_models.h"
#include "modellib/modellib.h"
#include "modellib/tests/embedding/host_program.h"

namespace modellib::embedding {
namespace {

// Runs `body` in a child: the number of the first check that it says is false, 0 if there is none,
// -1 for a child that died or hung.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // a child that hangs dies
    _exit(body());
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

TEST(Fork, AChildStartsAnew) {
  modellib_plan* const plan = compile_busy_plan();
  const std::string path = write_busy_plan(plan);
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.threads = 3;
  modellib_session* session = nullptr;
  ASSERT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_OK);
  const std::vector<float> expected = run_busy(session);
  ASSERT_FALSE(expected.empty());

  EXPECT_EQ(in_child([&] {
              if (modellib_session_run(session, 0, nullptr) != MODELLIB_FAILED_PRECONDITION)
                return 1;
              if (std::string(modellib_error_message()).find("forked") == std::string::npos)
                return 2;
              if (modellib_session_prepare(session, 0) != MODELLIB_FAILED_PRECONDITION) return 3;
              modellib_session_free(session);  // does nothing, and does not hang
              if (run_anew(plan, 3) != expected) return 4;
              if (run_anew(plan, 1) != expected) return 5;
              modellib_plan* own = nullptr;
              if (modellib_plan_load_file(path.c_str(), nullptr, &own) != MODELLIB_OK) return 6;
              modellib_plan_free(plan);
              if (run_anew(own, 3) != expected) return 7;
              // Helpers of a session of the child's own come, and go with it.
              modellib_session* mine = nullptr;
              if (modellib_session_create(own, &options, &mine) != MODELLIB_OK) return 8;
              if (run_busy(mine) != expected || thread_count() != 3) return 9;
              modellib_session_free(mine);
              if (thread_count() != 1) return 10;
              // So may its own children.
              return in_child([&] { return run_anew(own, 2) == expected ? 0 : 1; }) == 0 ? 0 : 11;
            }),
            0);
  EXPECT_EQ(run_busy(session), expected) << "the parent goes on";
  modellib_session_free(session);
  modellib_plan_free(plan);
}

// Each function of sessions and of variables, on those of the parent.
TEST(Fork, AllFunctionsRefuseWhatIsTheParents) {
  modellib_plan* plan = nullptr;
  ASSERT_EQ(modellib_compile_memory(kCounters, sizeof(kCounters) - 1, nullptr, &plan), MODELLIB_OK)
      << modellib_error_message();
  modellib_variables* variables = nullptr;
  ASSERT_EQ(modellib_variables_create(&plan, 1, nullptr, &variables), MODELLIB_OK);
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.variables = variables;
  modellib_session* session = nullptr;
  ASSERT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_OK);
  int32_t entry = -1;
  ASSERT_EQ(modellib_plan_find_entry(plan, "count", &entry), MODELLIB_OK);

  float x[2] = {1, 10}, y[2] = {};
  const int64_t two[] = {2};
  const std::vector<std::pair<const char*, std::function<modellib_status()>>> calls = {
      {"bind_input", [&] { return modellib_session_bind_input(session, entry, 0, x, two, 1); }},
      {"bind_output",
       [&] { return modellib_session_bind_output(session, entry, 0, y, sizeof(y)); }},
      {"release_output", [&] { return modellib_session_release_output(session, entry, 0); }},
      {"prepare", [&] { return modellib_session_prepare(session, entry); }},
      {"run", [&] { return modellib_session_run(session, entry, nullptr); }},
      {"output",
       [&] {
         modellib_tensor tensor = {};
         tensor.size = sizeof(tensor);
         return modellib_session_output(session, entry, 0, &tensor);
       }},
      {"get_variable",
       [&] { return modellib_session_get_variable(session, "mine", y, sizeof(y)); }},
      {"set_variable",
       [&] { return modellib_session_set_variable(session, "mine", x, sizeof(x)); }},
      {"reset_variables", [&] { return modellib_session_reset_variables(session); }},
      {"variables_info",
       [&] {
         modellib_variable_info info = {};
         info.size = sizeof(info);
         return modellib_variables_info(variables, 0, &info);
       }},
      {"variables_get", [&] { return modellib_variables_get(variables, "total", y, sizeof(y)); }},
      {"variables_set", [&] { return modellib_variables_set(variables, "total", x, sizeof(x)); }},
      {"variables_publish", [&] { return modellib_variables_publish(variables); }},
  };
  for (const auto& [name, call] : calls) {
    EXPECT_EQ(call(), MODELLIB_OK) << name << ": " << modellib_error_message();
  }
  for (const auto& [name, call] : calls) {
    EXPECT_EQ(in_child([&call = call] {
                if (call() != MODELLIB_FAILED_PRECONDITION) return 1;
                const std::string message = modellib_error_message();
                return message.find("forked") == std::string::npos ? 2 : 0;
              }),
              0)
        << name;
  }
  EXPECT_EQ(modellib_variables_count(variables), 1);
  EXPECT_EQ(in_child([&] { return modellib_variables_count(variables); }), 0);
  // It has no dimension to set: for the parent's process it is no mistake of the number.
  EXPECT_NE(modellib_session_set_dim(session, entry, 0, 1), MODELLIB_FAILED_PRECONDITION);
  EXPECT_EQ(in_child([&] {
              return modellib_session_set_dim(session, entry, 0, 1) == MODELLIB_FAILED_PRECONDITION
                         ? 0
                         : 1;
            }),
            0);
  modellib_session_free(session);
  modellib_variables_free(variables);
  modellib_plan_free(plan);
}

TEST(Fork, VariablesOfTheParentRefuse) {
  modellib_plan* const plan = compile_busy_plan();
  modellib_variables* variables = nullptr;
  ASSERT_EQ(modellib_variables_create(&plan, 1, nullptr, &variables), MODELLIB_OK);
  EXPECT_EQ(in_child([&] {
              if (modellib_variables_publish(variables) != MODELLIB_FAILED_PRECONDITION) return 1;
              modellib_session_options options = {};
              options.size = sizeof(options);
              options.variables = variables;
              modellib_session* session = nullptr;
              return modellib_session_create(plan, &options, &session) ==
                             MODELLIB_FAILED_PRECONDITION
                         ? 0
                         : 2;
            }),
            0);
  modellib_variables_free(variables);
  modellib_plan_free(plan);
}

// What lies in the host's memory stays there: its allocator may be in any state.
TEST(Fork, AChildReleasesNothingOfItsParent) {
  static int released = 0;
  modellib_allocator allocator = {};
  allocator.size = sizeof(allocator);
  allocator.allocate = [](void*, size_t bytes, size_t alignment) {
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  };
  allocator.deallocate = [](void*, void* memory, size_t, size_t) {
    ++released;
    std::free(memory);
  };
  modellib_plan* plan = nullptr;
  ASSERT_EQ(modellib_compile_memory(kCounters, sizeof(kCounters) - 1, nullptr, &plan), MODELLIB_OK);
  modellib_variables_options options = {};
  options.size = sizeof(options);
  options.allocator = &allocator;
  modellib_variables* variables = nullptr;
  ASSERT_EQ(modellib_variables_create(&plan, 1, &options, &variables), MODELLIB_OK);
  modellib_session_options session_options = {};
  session_options.size = sizeof(session_options);
  session_options.variables = variables;
  session_options.allocator = &allocator;
  modellib_session* session = nullptr;
  ASSERT_EQ(modellib_session_create(plan, &session_options, &session), MODELLIB_OK);
  released = 0;
  EXPECT_EQ(in_child([&] {
              modellib_session_free(session);
              modellib_variables_free(variables);
              return released;
            }),
            0);
  modellib_session_free(session);
  modellib_variables_free(variables);
  modellib_plan_free(plan);
  EXPECT_GT(released, 1);
}

// A compile may be anywhere when it is to be waited for: here its log holds it up.
TEST(Fork, WaitsForACompileOnAnotherThread) {
  struct Compile {
    std::atomic<bool> begun{false};
    std::atomic<bool> goes_on{false};
  } compile;
  modellib_log log = {};
  log.size = sizeof(log);
  log.user = &compile;
  log.write = [](void* user, modellib_log_level, const char*) {
    auto& to = *static_cast<Compile*>(user);
    if (to.begun.exchange(true)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    to.goes_on.store(true);
  };
  modellib_compile_options options = {};
  options.size = sizeof(options);
  options.log = &log;
  std::thread thread([&] {
    modellib_plan* plan = nullptr;
    EXPECT_EQ(modellib_compile_memory(kCounters, sizeof(kCounters) - 1, &options, &plan),
              MODELLIB_OK);
    compile.begun.store(true);  // whatever happened
    modellib_plan_free(plan);
  });
  while (!compile.begun.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(in_child([&] { return compile.goes_on.load() ? 0 : 1; }), 0);
  thread.join();
}

// Other threads load, compile, make sessions and run while this one forks: no lock of the library
// is taken into the child.
TEST(Fork, WhateverOtherThreadsDo) {
  modellib_plan* const plan = compile_busy_plan();
  const std::string path = write_busy_plan(plan);
  const std::vector<float> expected = run_anew(plan, 1);
  ASSERT_FALSE(expected.empty());
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop.load()) {
        modellib_plan* own = nullptr;
        if (modellib_plan_load_file(path.c_str(), nullptr, &own) != MODELLIB_OK ||
            run_anew(own, 2) != expected) {
          wrong.fetch_add(1);
        }
        modellib_plan_free(own);
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop.load()) {
      modellib_plan* const own = compile_busy_plan();
      if (run_anew(own, 1) != expected) wrong.fetch_add(1);
      modellib_plan_free(own);
    }
  });
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(in_child([&] {
                modellib_plan* own = nullptr;
                if (modellib_plan_load_file(path.c_str(), nullptr, &own) != MODELLIB_OK) return 1;
                if (run_anew(own, 2) != expected) return 2;
                return run_anew(compile_busy_plan(), 2) == expected ? 0 : 3;
              }),
              0);
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  modellib_plan_free(plan);
}

}  // namespace
}  // namespace modellib::embedding
