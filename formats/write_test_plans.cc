// Writes the corpus of verify_plan_fuzz_test: write_test_plans FOLDER.
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "modellib/formats/plan_generated.h"
#include "modellib/formats/test_plans.h"

namespace modellib {
namespace {

bool write(const std::string& path, const fb::PlanT& plan) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(fb::Plan::Pack(builder, &plan));
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(builder.GetBufferPointer()),
             static_cast<std::streamsize>(builder.GetSize()));
  return file.good();
}

int run(const std::string& folder) {
  using Op = fb::DimOpcode;
  const fb::PlanT symbolic = test_plans::symbolic_plan(
      {fb::DimOp(Op::Symbol, 0), fb::DimOp(Op::Const, 3), fb::DimOp(Op::Mul, 0),
       fb::DimOp(Op::Const, 2), fb::DimOp(Op::Mod, 0)},
      0, 1);
  const bool ok = write(folder + "/small.plan", test_plans::small_plan()) &&
                  write(folder + "/symbolic.plan", symbolic) &&
                  write(folder + "/cond.plan", test_plans::cond_plan()) &&
                  write(folder + "/scan.plan", test_plans::scan_plan()) &&
                  write(folder + "/while.plan", test_plans::while_plan(4)) &&
                  write(folder + "/two_lanes.plan", test_plans::two_lanes());
  if (!ok) std::fprintf(stderr, "can not write to %s\n", folder.c_str());
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace modellib

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_test_plans FOLDER\n");
    return 2;
  }
  return modellib::run(argv[1]);
}
