// Variables: shared by sessions, a session's own, and what is published of them.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "modellib/frontends/capi/capi_test_util.h"
#include "modellib/frontends/capi/test_models.h"
#include "modellib/modellib.h"

namespace modellib::capi {
namespace {

TEST(CApiVariables, SharesVariables) {
  modellib_plan* const plan = compile(kCounters);
  modellib_variables* variables = nullptr;
  ASSERT_EQ(modellib_variables_create(&plan, 1, nullptr, &variables), MODELLIB_OK) << message();
  ASSERT_EQ(modellib_variables_count(variables), 1);
  modellib_variable_info info = {};
  info.size = sizeof(info);
  ASSERT_EQ(modellib_variables_info(variables, 0, &info), MODELLIB_OK);
  EXPECT_STREQ(info.name, "total");
  EXPECT_EQ(info.bytes, 8u);
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.variables = variables;
  modellib_session* sessions[2] = {open(plan, &options), open(plan, &options)};
  int32_t entry = -1;
  ASSERT_EQ(modellib_plan_find_entry(plan, "count", &entry), MODELLIB_OK);
  const float x[2] = {1, 10};
  const int64_t two[] = {2};
  for (modellib_session* session : {sessions[0], sessions[1], sessions[1]}) {
    ASSERT_EQ(modellib_session_bind_input(session, entry, 0, x, two, 1), MODELLIB_OK);
    ASSERT_EQ(modellib_session_run(session, entry, nullptr), MODELLIB_OK) << message();
  }
  float total[2] = {}, mine[2] = {};
  ASSERT_EQ(modellib_variables_get(variables, "total", total, sizeof(total)), MODELLIB_OK);
  EXPECT_EQ(total[1], 30);
  ASSERT_EQ(modellib_session_get_variable(sessions[1], "mine", mine, sizeof(mine)), MODELLIB_OK);
  EXPECT_EQ(mine[1], 20);
  ASSERT_EQ(modellib_session_reset_variables(sessions[1]), MODELLIB_OK);
  ASSERT_EQ(modellib_session_get_variable(sessions[1], "mine", mine, sizeof(mine)), MODELLIB_OK);
  EXPECT_EQ(mine[1], 0);
  ASSERT_EQ(modellib_session_set_variable(sessions[0], "mine", x, sizeof(x)), MODELLIB_OK);
  ASSERT_EQ(modellib_variables_set(variables, "total", x, sizeof(x)), MODELLIB_OK);
  ASSERT_EQ(modellib_variables_get(variables, "total", total, sizeof(total)), MODELLIB_OK);
  EXPECT_EQ(total[1], 10);
  EXPECT_EQ(modellib_variables_publish(variables), MODELLIB_OK);
  EXPECT_EQ(modellib_variables_get(variables, "total", total, 4), MODELLIB_INVALID_ARGUMENT);
  EXPECT_EQ(modellib_variables_get(variables, "none", total, 4), MODELLIB_NOT_FOUND);
  EXPECT_EQ(modellib_session_get_variable(sessions[0], "total", mine, 8), MODELLIB_NOT_FOUND);
  for (modellib_session* session : sessions) modellib_session_free(session);
  modellib_variables_free(variables);
  modellib_plan_free(plan);
}

TEST(CApiVariables, ReadsPublishedVariablesOnceTheyArePublished) {
  constexpr char kShow[] = R"(graph "show" (x: f32[2]) {
    v: var f32[2] "v"
    t = add(v, x)
    return t
  }
  graph "initialize" (seed: i64[]) {
    v: var f32[2] "v"
    two = constant() {value: f32[2] [2, 3]}
    assign "v" = two
  })";
  modellib_plan* const plan = compile(kShow);
  modellib_variables* variables = nullptr;
  ASSERT_EQ(modellib_variables_create(&plan, 1, nullptr, &variables), MODELLIB_OK) << message();
  ASSERT_EQ(modellib_variables_publish(variables), MODELLIB_OK) << "nobody reads yet";
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.variables = variables;
  options.published = 1;
  modellib_session* const session = open(plan, &options);
  int32_t show = -1, initialize = -1;
  ASSERT_EQ(modellib_plan_find_entry(plan, "show", &show), MODELLIB_OK);
  ASSERT_EQ(modellib_plan_find_entry(plan, "initialize", &initialize), MODELLIB_OK);
  const float x[2] = {1, 10};
  float t[2] = {};
  const int64_t two[] = {2};
  const int64_t seed = 0;
  ASSERT_EQ(modellib_session_bind_input(session, show, 0, x, two, 1), MODELLIB_OK);
  ASSERT_EQ(modellib_session_bind_output(session, show, 0, t, sizeof(t)), MODELLIB_OK);
  ASSERT_EQ(modellib_session_bind_input(session, initialize, 0, &seed, nullptr, 0), MODELLIB_OK);
  EXPECT_EQ(modellib_session_run(session, show, nullptr), MODELLIB_FAILED_PRECONDITION);
  ASSERT_EQ(modellib_variables_publish(variables), MODELLIB_OK);
  EXPECT_EQ(modellib_session_run(session, show, nullptr), MODELLIB_OK) << message();
  EXPECT_EQ(t[1], 13);
  EXPECT_EQ(modellib_session_run(session, initialize, nullptr), MODELLIB_FAILED_PRECONDITION)
      << "writes";
  modellib_session_free(session);
  modellib_variables_free(variables);
  modellib_plan_free(plan);
}

TEST(CApiVariables, PublishedWantsVariables) {
  modellib_session_options options = {};
  options.size = sizeof(options);
  options.published = 1;
  for (modellib_plan* const plan : {compile(kCounters), compile_net()}) {
    modellib_session* session = nullptr;
    EXPECT_EQ(modellib_session_create(plan, &options, &session), MODELLIB_INVALID_ARGUMENT);
    EXPECT_EQ(session, nullptr);
    EXPECT_NE(message().find("wants variables"), std::string::npos) << message();
    modellib_plan_free(plan);
  }
}

TEST(CApiVariables, AreComputedByAnyNumberOfThreads) {
  modellib_plan* const plan = compile(kCounters);
  modellib_variables_options options = {};
  options.size = sizeof(options);
  options.threads = std::numeric_limits<int32_t>::max();
  modellib_variables* variables = nullptr;
  EXPECT_EQ(modellib_variables_create(&plan, 1, &options, &variables), MODELLIB_OK) << message();
  modellib_variables_free(variables);
  modellib_plan_free(plan);
}

}  // namespace
}  // namespace modellib::capi
