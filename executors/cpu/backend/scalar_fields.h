// A kernel's scalars at plan time: a struct of int64 fields, some of which are set to expressions.
#ifndef MODELLIB_EXECUTORS_CPU_BACKEND_SCALAR_FIELDS_H_
#define MODELLIB_EXECUTORS_CPU_BACKEND_SCALAR_FIELDS_H_

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "modellib/graph/dim.h"

namespace modellib::cpu {

// `Scalars` has int64 fields (or arrays of them) alone; their order is that of the step's scalars.
template <class Scalars>
class ScalarFields {
  static_assert(std::is_trivially_copyable_v<Scalars> && sizeof(Scalars) % sizeof(int64_t) == 0);

 public:
  explicit ScalarFields(const Scalars& scalars) : dims_(sizeof(Scalars) / sizeof(int64_t)) {
    for (size_t i = 0; i < dims_.size(); ++i) {
      int64_t number;
      std::memcpy(&number, reinterpret_cast<const char*>(&scalars) + i * sizeof(int64_t),
                  sizeof(number));
      dims_[i] = number;
    }
  }

  void set(int64_t Scalars::*field, const Dim& value) { dims_[index(field)] = value; }
  template <size_t N>
  void set(int64_t (Scalars::*field)[N], size_t i, const Dim& value) {
    dims_[index(field) + i] = value;
  }
  std::vector<Dim> take() { return std::move(dims_); }

 private:
  template <class Field>
  static size_t index(Field Scalars::*field) {
    const Scalars probe{};
    return static_cast<size_t>(reinterpret_cast<const char*>(&(probe.*field)) -
                               reinterpret_cast<const char*>(&probe)) /
           sizeof(int64_t);
  }

  std::vector<Dim> dims_;
};

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_BACKEND_SCALAR_FIELDS_H_
