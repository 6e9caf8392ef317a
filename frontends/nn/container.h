// Containers: modules that hold others. They hold copies of what they are given, which share the
// parameters: a layer that is added twice is one set of weights, used twice.
#ifndef MODELLIB_FRONTENDS_NN_CONTAINER_H_
#define MODELLIB_FRONTENDS_NN_CONTAINER_H_

#include <memory>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "modellib/frontends/nn/module.h"

namespace modellib::nn {

// One after the other, named "0", "1", …:
//
//   nn::Sequential mlp(nn::Linear(784, 256), nn::ReLU(), nn::Linear(256, 10));
class Sequential : public Module {
 public:
  Sequential() = default;
  template <class First, class... Rest>
    requires(!std::is_same_v<std::decay_t<First>, Sequential> || sizeof...(Rest) > 0)
  explicit Sequential(First first, Rest... rest) {
    append(std::move(first));
    (append(std::move(rest)), ...);
  }

  template <class M>
  Sequential& append(M module) {
    register_module(absl::StrCat(children()), std::make_shared<M>(std::move(module)));
    return *this;
  }

  // What each gives goes into the next; without any, the input.
  Value forward(Value input) override;

  size_t size() const { return children(); }
  Module& operator[](size_t i) { return child(i); }
};

// Modules of one type, in a list, named "0", "1", …; the module that holds it says what to do with
// them.
template <class M>
class ModuleList : public Module {
 public:
  ModuleList& append(M module) { return append(std::move(module), absl::StrCat(children())); }
  // Under another name; an empty one adds nothing to the paths of what is in it.
  ModuleList& append(M module, absl::string_view name) {
    register_module(name, std::make_shared<M>(std::move(module)));
    return *this;
  }

  size_t size() const { return children(); }
  bool empty() const { return children() == 0; }
  M& operator[](size_t i) { return static_cast<M&>(child(i)); }
  const M& operator[](size_t i) const { return static_cast<const M&>(child(i)); }
};

// Gives its input.
class Identity : public Module {
 public:
  Value forward(Value input) override { return input; }
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_CONTAINER_H_
