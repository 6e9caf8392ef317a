// How a random graph grows: what is known of its values, and a member for each kind of thing that
// can come next. The kinds are defined family by family in *_steps.cc.
#ifndef MODELLIB_TESTS_RANDOM_GRAPHS_GRAPH_MAKER_H_
#define MODELLIB_TESTS_RANDOM_GRAPHS_GRAPH_MAKER_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "modellib/graph/builder.h"
#include "modellib/tests/random_graphs/generator.h"

namespace modellib {

class GraphMaker {
 public:
  explicit GraphMaker(uint64_t seed);
  GraphCase run();

 private:
  using Step = void (GraphMaker::*)();
  static const Step kTable[];
  static const size_t kSteps;

  // A value with what is known of its numbers.
  struct Item {
    Value value;
    double bound = 2;    // of magnitudes
    bool exact = false;  // the same bits on every executor: rounding has not touched it
  };

  // Inputs and variables.
  Shape random_shape(bool free);
  Tensor random_tensor(DType dtype, const Shape& shape, double low, double high);
  Item add_input_of(const TensorType& type);
  void add_input(DType dtype) { add_input_of({dtype, random_shape(true)}); }
  void add_variable();
  Value random_constant(const Shape& shape, double magnitude = 1);
  void add_outputs();

  // Choice.
  static int64_t extent_of(const Dim& d);
  static int64_t elements_of(const Shape& shape);
  template <class Fits>
  std::optional<Item> pick(Fits fits) {
    std::vector<Item> candidates;
    for (const Item& item : items_) {
      if (fits(item)) candidates.push_back(item);
    }
    if (candidates.empty()) return std::nullopt;
    // Late values more often, so that graphs grow deep as well as wide.
    const auto n = static_cast<int64_t>(candidates.size());
    return candidates[static_cast<size_t>(std::max(random_.below(n), random_.below(n)))];
  }
  static bool is_f32(const Item& i) { return i.value.dtype() == DType::kF32; }
  static bool is_number(const Item& i) { return i.value.dtype() != DType::kBool; }
  std::optional<Item> pick_float() { return pick(is_f32); }
  // An axis whose extent is a number; none: no value.
  std::optional<int64_t> static_axis(const Value& v);
  template <class T>
  T one_of(std::initializer_list<T> list) {
    return list.begin()[random_.below(static_cast<int64_t>(list.size()))];
  }
  // Keeps a value, squashed if its numbers could be large.
  void keep(Value v, double bound, bool exact = false);
  // Whether two shapes broadcast without a constraint that the binding could break.
  static bool broadcast(const Shape& a, const Shape& b);
  std::optional<Item> partner(const Item& a, bool exact = false);

  // Pointwise.
  void unary();
  void activation();
  void stepwise();
  void binary();
  void with_number();
  void compare();
  void logic();
  void select();
  void convert();
  // Reductions, norms, composites.
  void reduction();
  void along_axis();
  void normalise();
  void spelled();
  // Products.
  void product();
  void gram();
  void attend();
  void convolve();
  void narrow_product();
  // What moves elements.
  void reshape_or_view();
  void piece();
  void join();
  void border();
  void lookup();
  void drop();
  // Control flow.
  void branch();
  void loop();
  void repeat();

  SeededNumbers random_;
  GraphBuilder b_;
  GraphCase result_;
  std::optional<Dim> batch_;
  std::vector<Item> items_;
  std::vector<Variable> variables_;
};

}  // namespace modellib

#endif  // MODELLIB_TESTS_RANDOM_GRAPHS_GRAPH_MAKER_H_
