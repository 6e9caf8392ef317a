// Small plans built by hand, for tests: each is right, and mutations of it are wrong.
//
// Every plan has one entry "main" with an input "x" and an output "y" of 16 floats, an arena of
// 4096 bytes, variables "weight" (read and written) and "mean" (read), and a constant of 64 bytes.
#ifndef MODELLIB_FORMATS_TEST_PLANS_H_
#define MODELLIB_FORMATS_TEST_PLANS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "modellib/formats/plan_generated.h"

namespace modellib::test_plans {

fb::BufferRef ref(fb::Space space, uint32_t index, uint64_t offset, uint64_t size,
                  int64_t stride = 0, int64_t outer = 0);
fb::BufferRef arena(uint64_t offset, uint64_t size, int64_t stride = 0, int64_t outer = 0);
fb::BufferRef input(uint64_t size);
fb::BufferRef output(uint64_t offset, uint64_t size);
fb::BufferRef variable(uint32_t index, uint64_t size);
fb::BufferRef constant(uint64_t size);

// Indices into Plan.kernels.
enum Kernel : uint32_t { kWork, kCond, kScan, kWhile };

fb::StepT step(const std::string& name, std::vector<fb::BufferRef> inputs,
               std::vector<fb::BufferRef> outputs, uint16_t lane = 0,
               std::vector<uint32_t> waits = {}, std::vector<uint32_t> signals = {});
fb::StepT control(Kernel kernel, std::vector<fb::BufferRef> inputs,
                  std::vector<fb::BufferRef> outputs, std::vector<uint32_t> bodies,
                  int64_t trips = 0);

// `bodies` are the sequences from 1 on.
fb::PlanT plan(std::vector<fb::StepT> steps, std::vector<std::vector<fb::StepT>> bodies = {},
               std::vector<std::string> lanes = {"compute"});

// Two layers and an update in place, bytes of the arena used more than once.
fb::PlanT small_plan();
// That with a symbol "batch" in [1, 4] and a slot, which the first step reads.
fb::PlanT symbolic_plan(std::vector<fb::DimOp> expression, int64_t min, int64_t max);
// y = cond(p, a, b): both branches write the same bytes.
fb::PlanT cond_plan();
// h' = f(h, x[t]); y[t] = h', for 8 trips with slices of 64 bytes.
fb::PlanT scan_plan();
fb::PlanT while_plan(int64_t trips);
// Gradients go to the lane of collectives and back; the buffers are used again meanwhile.
fb::PlanT two_lanes();

fb::EntryT& main_entry(fb::PlanT& p);
fb::StepT& step_of(fb::PlanT& p, size_t i, size_t sequence = 0);

}  // namespace modellib::test_plans

#endif  // MODELLIB_FORMATS_TEST_PLANS_H_
