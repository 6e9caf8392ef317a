// Writes plans for the fuzzer to start from: argv[1] a container, argv[2...] metadata alone.
// Between them they hold every construct of a plan.
#include <cstdio>
#include <fstream>

#include "modellib/executors/runtime/test_plans.h"

namespace modellib::runtime {
namespace {

using testing::arena;
using testing::EntryMaker;
using testing::in;
using testing::number;
using testing::PlanMaker;
using testing::real;
using testing::slot;

constexpr auto kInput = fb::Space::Input;
constexpr auto kOutput = fb::Space::Output;
constexpr auto kVariable = fb::Space::Variable;

// Symbols, slots, a constraint, a constant, a variable, two lanes.
PlanMaker straight() {
  PlanMaker maker;
  const uint32_t c = maker.constant("c", std::vector<float>(16, 1));
  auto& variable = *maker.plan.variables[maker.variable("w", 4)];
  variable.segment = 0;  // the constant's
  EntryMaker entry = maker.entry("infer");
  const int batch = entry.symbol("batch", 1, 8);
  const int n = entry.slot_of(batch, 2, 2, 16);
  entry.input("x", fb::DType::F32, {number(8), number(2)}, {batch, -1});
  entry.output("y", fb::DType::F32, {slot(n, 16)});
  entry.entry().constraints.push_back(std::make_unique<fb::ConstraintT>());
  entry.entry().constraints.back()->left = {{fb::DimOpcode::Symbol, batch}};
  entry.entry().constraints.back()->right = {{fb::DimOpcode::Const, 2}};
  entry.arena_bytes(64);
  entry.entry().lanes = {"compute", "copy"};
  entry.entry().signals = 1;
  auto& add =
      entry.step("test.add", {arena(0, 64)}, {in(kInput, 0, 64), in(fb::Space::Constant, c, 64)},
                 {slot(n, 16), number(4)}, 4);
  add.lane = 1;
  add.signals = {0};
  entry.step("test.scale", {in(kOutput, 0, 64)}, {arena(0, 64)}, {slot(n, 16), real(2), number(1)})
      .waits = {0};
  EntryMaker update = maker.entry("update");
  update.uses(0, true, true);
  update.step("test.scale", {in(kVariable, 0, 16)}, {in(kVariable, 0, 16)},
              {number(4), real(2), number(1)});
  return maker;
}

// A loop in a loop, a while with a condition, a cond, "initialize", a session variable.
PlanMaker looping() {
  PlanMaker maker;
  const uint32_t w = maker.variable("w", 4);
  const uint32_t state = maker.variable("state", 2, fb::VariableKind::Session);
  EntryMaker initialize = maker.entry("initialize");
  initialize.input("seed", fb::DType::I64, {});
  initialize.uses(w, false, true);
  initialize.arena_bytes(64);
  const uint32_t each = initialize.sequence();
  initialize.step("test.float_of", {arena(0, 4)}, {in(kInput, 0, 8)}, {});
  initialize.step("control.scan", {arena(8, 8)}, {}, {number(4)}).sequences = {each};
  initialize.step("test.copy", {in(kVariable, w, 4, 0, 4)}, {arena(0, 4)}, {number(1), number(1)},
                  1, each);
  EntryMaker main = maker.entry("main");
  main.uses(w, true, false);
  main.uses(state, true, true);
  main.input("start", fb::DType::I64, {});
  main.output("y", fb::DType::F32, {number(3), number(4)});
  main.arena_bytes(256);
  const uint32_t outer = main.sequence();
  const uint32_t inner = main.sequence();
  const uint32_t condition = main.sequence();
  const uint32_t body = main.sequence();
  const uint32_t then = main.sequence();
  const uint32_t otherwise = main.sequence();
  main.step("test.fill", {in(kOutput, 0, 48)}, {}, {number(12), real(0), number(1)});
  main.step("control.scan", {}, {in(kInput, 0, 8)}, {number(3)}).sequences = {outer};
  main.step("control.scan", {}, {}, {number(4)}, 1, outer).sequences = {inner};
  main.step("test.copy", {in(kOutput, 0, 4, 0, 4, 16)}, {in(kVariable, w, 4, 0, 4)},
            {number(1), number(1)}, 1, inner);
  main.step("test.count", {arena(0, 8)}, {in(kInput, 0, 8)}, {number(0)});
  main.step("control.while", {arena(128, 8)}, {arena(64, 1)}, {number(10)}).sequences = {condition,
                                                                                         body};
  main.step("test.less", {arena(64, 1)}, {arena(0, 8)}, {number(7)}, 1, condition);
  main.step("test.count", {arena(0, 8)}, {arena(0, 8)}, {number(1)}, 1, body);
  main.step("test.less", {arena(192, 1)}, {arena(0, 8)}, {number(5)});
  main.step("control.cond", {}, {arena(192, 1)}, {}).sequences = {then, otherwise};
  main.step("test.scale", {in(kVariable, state, 8)}, {in(kVariable, state, 8)},
            {number(2), real(10), number(1)}, 1, then);
  main.step("test.fill", {in(kVariable, state, 8)}, {}, {number(2), real(1), number(2)}, 2,
            otherwise);
  return maker;
}

bool write(const char* path, const std::byte* bytes, size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  return file.good();
}

bool write_metadata(const char* path, const PlanMaker& maker) {
  if (!maker.try_load().ok()) {
    std::fprintf(stderr, "%s\n", maker.try_load().status().ToString().c_str());
    return false;
  }
  const auto file = *PlanFile::from_parts(maker.plan, maker.segments);
  return write(path, file->metadata().data(), file->metadata().size());
}

}  // namespace
}  // namespace modellib::runtime

int main(int argc, char** argv) {
  using namespace modellib;           // NOLINT(google-build-using-namespace)
  using namespace modellib::runtime;  // NOLINT(google-build-using-namespace)
  if (argc != 4) return 1;
  const PlanMaker plan = straight();
  const auto container = serialize_plan(plan.plan, plan.segments);
  const bool written = container.ok() && write(argv[1], container->data(), container->size()) &&
                       write_metadata(argv[2], plan) && write_metadata(argv[3], looping());
  return written ? 0 : 1;
}
