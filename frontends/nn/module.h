// Module: a description of a part of a model, as in PyTorch. It holds parameters and other modules,
// and its forward() builds graph: it takes and returns Values, and nothing is computed.
//
//   struct SimpleNet : nn::Module {
//     SimpleNet(int64_t in, int64_t hidden, int64_t classes)
//         : fc1(in, hidden), fc2(hidden, hidden), fc3(hidden, classes), dropout(0.5) {
//       register_module("fc1", fc1);
//       register_module("fc2", fc2);
//       register_module("fc3", fc3);
//       register_module("dropout", dropout);
//     }
//     Value forward(Value x) {
//       x = dropout.forward(relu(fc1.forward(x)));
//       x = dropout.forward(relu(fc2.forward(x)));
//       return fc3.forward(x);
//     }
//     nn::Linear fc1, fc2, fc3;
//     nn::Dropout dropout;
//   };
//
// Constructors never fail: a bad argument shows when the graph is built. Members may be assigned
// (`model.fc3 = nn::Linear(256, 2)`). A copy of a module is a module of its own that shares its
// parameters; clone_parameters() makes them its own too.
#ifndef MODELLIB_FRONTENDS_NN_MODULE_H_
#define MODELLIB_FRONTENDS_NN_MODULE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "modellib/frontends/nn/parameter.h"
#include "modellib/graph/builder.h"

namespace modellib::nn {

class Module {
 public:
  virtual ~Module() = default;

  // For modules of one tensor in and one out: what containers and trainers call. Modules with other
  // signatures have a forward() of their own, and poison the build here.
  virtual Value forward(Value input);

  // Parameters that can be trained, tied ones once, in the order of registration; with dotted
  // paths.
  std::vector<std::pair<std::string, Parameter>> named_parameters() const;
  std::vector<Parameter> parameters() const;
  // State that is not trained: running statistics.
  std::vector<std::pair<std::string, Parameter>> named_buffers() const;
  // Both under every name that they have: tied ones as often as they are registered.
  std::vector<std::pair<std::string, Parameter>> named_state() const;
  // Sub-modules, itself first with the empty path.
  std::vector<std::pair<std::string, const Module*>> named_modules() const;
  std::vector<Module*> modules();

  // Chooses between the two entries of the program: dropout, batch norm. For this and all below.
  Module& train(bool mode = true);
  Module& eval() { return train(false); }
  bool is_training() const { return training_; }
  // For this and all below.
  void requires_grad(bool on);
  // The type of all parameters and buffers that are floating, here and below.
  void to(DType dtype);

  // Gives every parameter and buffer below its name: `prefix` and its path. Programs call it before
  // they build graphs.
  void name_parameters(absl::string_view prefix = "");
  // Parameters and buffers of its own, instead of those it shares with what it was copied from.
  // What is tied within it stays tied.
  void clone_parameters();

 protected:
  Module() = default;
  Module(const Module& other);
  Module& operator=(const Module& other);

  // `member` must be a data member of this object (it is found again by its place in it, so that
  // copies of the object work). A name that is taken replaces nothing, unlike in PyTorch: both
  // members stay, and if two parameters, not tied, come to one path, a graph that uses one of them
  // is not built. To replace a member, assign to it. A member may have several names.
  void register_module(absl::string_view name, Module& member);
  void register_parameter(absl::string_view name, Parameter& member);
  void register_buffer(absl::string_view name, Parameter& member);
  // A module that lives elsewhere: an element of a container. A copy of the container copies it.
  // Under an empty name its parameters appear as this module's own.
  template <class M>
  void register_module(absl::string_view name, std::shared_ptr<M> module) {
    static_assert(!std::is_same_v<M, Module>, "the type of the element must be known to copy it");
    register_element(name, std::move(module), [](const Module& m) -> std::shared_ptr<Module> {
      return std::make_shared<M>(static_cast<const M&>(m));
    });
  }
  // Sub-modules in the order of registration.
  size_t children() const { return children_.size(); }
  Module& child(size_t i) { return at(children_[i]); }
  const Module& child(size_t i) const { return at(children_[i]); }

  // The scope of this module in the graph that `like` belongs to, while it lives: the name that the
  // module is registered under. First line of every forward():
  //   const ModuleScope scope(*this, input);
  class [[nodiscard]] ModuleScope {
   public:
    ModuleScope(const Module& module, const Value& like) {
      if (!like.is_null()) scope_.emplace(*like.builder(), module.name_);
    }

   private:
    std::optional<GraphBuilder::Scope> scope_;
  };

 private:
  using Copy = std::shared_ptr<Module> (*)(const Module&);
  struct Child {
    std::string name;
    std::ptrdiff_t offset;                     // of a member; unused if `module` is set
    std::shared_ptr<Module> module = nullptr;  // of a container
    Copy copy = nullptr;                       // of `module`
  };
  struct Slot {
    std::string name;
    std::ptrdiff_t offset;
    bool is_buffer;
  };
  void register_element(absl::string_view name, std::shared_ptr<Module> module, Copy copy);
  void copy_elements();
  void visit_slots(const std::function<void(Parameter&)>& f);
  const Module& at(const Child& child) const;
  Module& at(const Child& child);
  Parameter& at(const Slot& slot);
  const Parameter& at(const Slot& slot) const;

  void visit(const std::string& path,
             const std::function<void(const std::string&, const Module&)>& f) const;
  std::vector<std::pair<std::string, Parameter>> collect(bool buffers) const;

  std::string name_ = "module";  // under which it is registered
  bool training_ = true;
  std::vector<Child> children_;
  std::vector<Slot> slots_;
};

}  // namespace modellib::nn

#endif  // MODELLIB_FRONTENDS_NN_MODULE_H_
