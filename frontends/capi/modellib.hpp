// ModelLib for C++17 and later: objects with owners over the C API (modellib/modellib.h and, for
// compile(), modellib/compiler.h), in this header alone. Nothing throws; what can fail returns a
// Status or a Result.
//
//   namespace ml = modellib::api;
//   auto plan = ml::Plan::load("mnist.mlplan");
//   if (!plan) return fail(plan.status().message());
//   auto session = ml::Session::create(*plan);
//   if (!session) return fail(session.status().message());
//   session->bind_input(0, 0, pixels.data(), {1, 784});
//   session->bind_output(0, 0, logits.data(), logits.size() * sizeof(float));
//   if (ml::Status status = session->run(0); !status) return fail(status.message());
//
// Objects are moved, not copied. What the functions do, and when they fail, stands in the C
// headers.
#ifndef MODELLIB_MODELLIB_HPP_
#define MODELLIB_MODELLIB_HPP_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "modellib/compiler.h"
#include "modellib/modellib.h"

namespace modellib::api {

// Of the library that is loaded; MODELLIB_VERSION_MAJOR and so on are the headers'.
inline std::string version() { return modellib_version(); }
inline uint32_t version_number() { return modellib_version_number(); }

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(modellib_status code, std::string message) : code_(code), message_(std::move(message)) {}
  // What a function of the C API returned, with the text that this thread keeps.
  static Status of(modellib_status code) {
    return code == MODELLIB_OK ? Status() : Status(code, modellib_error_message());
  }

  bool ok() const { return code_ == MODELLIB_OK; }
  explicit operator bool() const { return ok(); }
  modellib_status code() const { return code_; }
  const char* name() const { return modellib_status_name(code_); }  // "NOT_FOUND"
  const std::string& message() const { return message_; }

 private:
  modellib_status code_ = MODELLIB_OK;
  std::string message_;
};

// A value, or why there is none. To ask for the value of a Result that has none is undefined.
template <class T>
class [[nodiscard]] Result {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a value is a Result
  Result(T value) : value_(std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): so is an error
  Result(Status status) : status_(std::move(status)) {}

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Status& status() const { return status_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

template <class Handle, void (*Free)(Handle*)>
struct Deleter {
  void operator()(Handle* handle) const { Free(handle); }
};
template <class Handle, void (*Free)(Handle*)>
using Owner = std::unique_ptr<Handle, Deleter<Handle, Free>>;

// Called within the functions that are given it, never in a run.
using LogSink = std::function<void(modellib_log_level level, const char* text)>;

// Where a plan's bytes go, piece by piece and in order; another status than MODELLIB_OK ends it.
using Writer = std::function<modellib_status(const void* data, size_t bytes)>;

// Where a plan's bytes come from; see modellib_reader.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual uint64_t size() const = 0;
  virtual modellib_status read(uint64_t offset, void* into, uint64_t bytes) = 0;
};

namespace internal {

// A sink as the C API takes it; absent where the function is empty.
class CLog {
 public:
  CLog(const LogSink& sink, modellib_log_level min_level) : given_(static_cast<bool>(sink)) {
    log_.size = sizeof(log_);
    log_.user = const_cast<LogSink*>(&sink);
    log_.min_level = min_level;
    log_.write = [](void* user, modellib_log_level level, const char* text) {
      (*static_cast<const LogSink*>(user))(level, text);
    };
  }
  const modellib_log* get() const { return given_ ? &log_ : nullptr; }

 private:
  bool given_;
  modellib_log log_ = {};
};

}  // namespace internal

struct LoadOptions {
  bool trusted = true;  // false: the bytes may be hostile
  bool copy = false;    // true: not mapped
  const modellib_allocator* allocator = nullptr;
  LogSink log;
  modellib_log_level min_level = MODELLIB_LOG_INFO;
};

struct Tensor {
  modellib_dtype dtype;
  std::vector<int64_t> extents;
  const void* data;
  uint64_t bytes;
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

class Plan {
 public:
  explicit Plan(modellib_plan* plan) : plan_(plan) {}

  static Result<Plan> load(const std::string& path, const LoadOptions& options = {}) {
    return make(options, [&](const modellib_load_options& o, modellib_plan** plan) {
      return modellib_plan_load_file(path.c_str(), &o, plan);
    });
  }
  // Bytes that are aligned to 64 are used where they lie: they must outlive the plan.
  static Result<Plan> load(const void* data, size_t bytes, const LoadOptions& options = {}) {
    return make(options, [&](const modellib_load_options& o, modellib_plan** plan) {
      return modellib_plan_load_memory(data, bytes, &o, plan);
    });
  }
  static Result<Plan> load(Reader& reader, const LoadOptions& options = {}) {
    modellib_reader c = {};
    c.size = sizeof(c);
    c.length = reader.size();
    c.user = &reader;
    c.read = [](void* user, uint64_t offset, void* into, uint64_t bytes) {
      return static_cast<Reader*>(user)->read(offset, into, bytes);
    };
    return make(options, [&](const modellib_load_options& o, modellib_plan** plan) {
      return modellib_plan_load_reader(&c, &o, plan);
    });
  }

  modellib_plan* get() const { return plan_.get(); }
  int32_t entries() const { return modellib_plan_entries(get()); }
  uint64_t session_bytes() const { return modellib_plan_session_bytes(get()); }

  Result<int32_t> entry(const std::string& name) const {
    int32_t index = -1;
    return found(modellib_plan_find_entry(get(), name.c_str(), &index), index);
  }
  Result<int32_t> input(int32_t entry, const std::string& name) const {
    int32_t index = -1;
    return found(modellib_plan_find_input(get(), entry, name.c_str(), &index), index);
  }
  Result<int32_t> output(int32_t entry, const std::string& name) const {
    int32_t index = -1;
    return found(modellib_plan_find_output(get(), entry, name.c_str(), &index), index);
  }
  Result<int32_t> dim(int32_t entry, const std::string& name) const {
    int32_t index = -1;
    return found(modellib_plan_find_dim(get(), entry, name.c_str(), &index), index);
  }

  // Strings and arrays in these lie in the plan.
  Result<modellib_entry_info> entry_info(int32_t entry) const {
    return info<modellib_entry_info>(
        [&](modellib_entry_info* out) { return modellib_plan_entry(get(), entry, out); });
  }
  Result<modellib_tensor_info> input_info(int32_t entry, int32_t input) const {
    return info<modellib_tensor_info>(
        [&](modellib_tensor_info* out) { return modellib_plan_input(get(), entry, input, out); });
  }
  Result<modellib_tensor_info> output_info(int32_t entry, int32_t output) const {
    return info<modellib_tensor_info>(
        [&](modellib_tensor_info* out) { return modellib_plan_output(get(), entry, output, out); });
  }
  Result<modellib_dim_info> dim_info(int32_t entry, int32_t dim) const {
    return info<modellib_dim_info>(
        [&](modellib_dim_info* out) { return modellib_plan_dim(get(), entry, dim, out); });
  }

  // Of libmodellib.
  Status write(const std::string& path) const {
    return Status::of(modellib_plan_write(get(), path.c_str()));
  }
  Status serialize(const Writer& write) const {
    return Status::of(modellib_plan_serialize(get(), write ? &Plan::write_piece : nullptr,
                                              const_cast<Writer*>(&write)));
  }

 private:
  static modellib_status write_piece(void* user, const void* data, size_t bytes) {
    return (*static_cast<const Writer*>(user))(data, bytes);
  }
  template <class Load>
  static Result<Plan> make(const LoadOptions& options, const Load& load) {
    const internal::CLog log(options.log, options.min_level);
    modellib_load_options c = {};
    c.size = sizeof(c);
    c.untrusted = options.trusted ? 0 : 1;
    c.copy = options.copy ? 1 : 0;
    c.allocator = options.allocator;
    c.log = log.get();
    modellib_plan* plan = nullptr;
    const modellib_status status = load(c, &plan);
    if (status != MODELLIB_OK) return Status::of(status);
    return Plan(plan);
  }
  static Result<int32_t> found(modellib_status status, int32_t index) {
    if (status != MODELLIB_OK) return Status::of(status);
    return index;
  }
  template <class Info, class Get>
  static Result<Info> info(const Get& get) {
    Info out = {};
    out.size = sizeof(out);
    const modellib_status status = get(&out);
    if (status != MODELLIB_OK) return Status::of(status);
    return out;
  }

  Owner<modellib_plan, modellib_plan_free> plan_;
};

struct CompileOptions {
  std::vector<modellib_dim_range> dims;  // {"batch", 1, 32}
  std::vector<std::string> keep;         // intermediate values that become outputs
  std::vector<std::string> disabled_passes;
  bool trusted = true;
  LogSink log;
  modellib_log_level min_level = MODELLIB_LOG_INFO;
};

namespace internal {

template <class Compile>
Result<Plan> compile(const CompileOptions& options, const Compile& compile) {
  const CLog log(options.log, options.min_level);
  std::vector<const char*> keep, disabled;
  for (const std::string& name : options.keep) keep.push_back(name.c_str());
  for (const std::string& name : options.disabled_passes) disabled.push_back(name.c_str());
  modellib_compile_options c = {};
  c.size = sizeof(c);
  c.dims = options.dims.data();
  c.dim_count = options.dims.size();
  c.keep = keep.data();
  c.keep_count = keep.size();
  c.disabled_passes = disabled.data();
  c.disabled_pass_count = disabled.size();
  c.untrusted = options.trusted ? 0 : 1;
  c.log = log.get();
  modellib_plan* plan = nullptr;
  const modellib_status status = compile(c, &plan);
  if (status != MODELLIB_OK) return Status::of(status);
  return Plan(plan);
}

}  // namespace internal

// Of libmodellib: a plan of a model, .onnx, .mlmodel or .mltxt.
inline Result<Plan> compile(const std::string& path, const CompileOptions& options = {}) {
  return internal::compile(options, [&](const modellib_compile_options& o, modellib_plan** plan) {
    return modellib_compile_file(path.c_str(), &o, plan);
  });
}
inline Result<Plan> compile(const void* data, size_t bytes, const CompileOptions& options = {}) {
  return internal::compile(options, [&](const modellib_compile_options& o, modellib_plan** plan) {
    return modellib_compile_memory(data, bytes, &o, plan);
  });
}

struct VariablesOptions {
  int64_t seed = 0;        // for first values that a plan draws
  int32_t threads = 0;     // that compute them; 0: one
  uint64_t max_bytes = 0;  // published versions count; 0: no limit
  const modellib_allocator* allocator = nullptr;
};

// What runs share and change; see modellib_variables.
class Variables {
 public:
  explicit Variables(modellib_variables* variables) : variables_(variables) {}

  static Result<Variables> create(std::initializer_list<const Plan*> plans, int64_t seed = 0) {
    VariablesOptions options;
    options.seed = seed;
    return create(plans, options);
  }
  static Result<Variables> create(std::initializer_list<const Plan*> plans,
                                  const VariablesOptions& options) {
    std::vector<const modellib_plan*> handles;
    for (const Plan* plan : plans) handles.push_back(plan->get());
    modellib_variables_options c = {};
    c.size = sizeof(c);
    c.seed = options.seed;
    c.threads = options.threads;
    c.max_bytes = options.max_bytes;
    c.allocator = options.allocator;
    modellib_variables* variables = nullptr;
    const modellib_status status =
        modellib_variables_create(handles.data(), handles.size(), &c, &variables);
    if (status != MODELLIB_OK) return Status::of(status);
    return Variables(variables);
  }

  modellib_variables* get() const { return variables_.get(); }
  int32_t count() const { return modellib_variables_count(get()); }
  // The name and the extents lie in the variables.
  Result<modellib_variable_info> info(int32_t index) const {
    modellib_variable_info out = {};
    out.size = sizeof(out);
    const modellib_status status = modellib_variables_info(get(), index, &out);
    if (status != MODELLIB_OK) return Status::of(status);
    return out;
  }
  Status read(const std::string& name, void* into, size_t bytes) const {
    return Status::of(modellib_variables_get(get(), name.c_str(), into, bytes));
  }
  Status write(const std::string& name, const void* from, size_t bytes) {
    return Status::of(modellib_variables_set(get(), name.c_str(), from, bytes));
  }
  Status publish() { return Status::of(modellib_variables_publish(get())); }

 private:
  Owner<modellib_variables, modellib_variables_free> variables_;
};

// Stops runs from another thread.
class CancelToken {
 public:
  CancelToken() {
    modellib_cancel* cancel = nullptr;
    static_cast<void>(modellib_cancel_create(&cancel));
    cancel_.reset(cancel);
  }
  void cancel() { modellib_cancel_set(cancel_.get()); }
  void reset() { modellib_cancel_reset(cancel_.get()); }
  const modellib_cancel* get() const { return cancel_.get(); }

 private:
  Owner<modellib_cancel, modellib_cancel_free> cancel_;
};

struct RunOptions {
  const CancelToken* cancel = nullptr;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

struct SessionOptions {
  // Threads of a run, the calling one included; 0: as many as there are.
  int32_t threads = 0;
  // The host's tbb::task_arena; without a type here, so that TBB's headers are not needed.
  void* tbb_arena = nullptr;
  const modellib_workers* workers = nullptr;
  // Plan::session_bytes() bytes, aligned to 4096, that outlive the session.
  void* memory = nullptr;
  size_t memory_bytes = 0;
  uint64_t max_bytes = 0;  // 0: no limit
  const modellib_allocator* allocator = nullptr;
  Variables* variables = nullptr;  // null: of the session's own
  bool published = false;
  LogSink log;
  modellib_log_level min_level = MODELLIB_LOG_INFO;
  // Called after each step of a run; it must not throw.
  std::function<void(const modellib_step&)> on_step;
};

class Session {
 public:
  static Result<Session> create(const Plan& plan, const SessionOptions& options = {}) {
    Session session;
    const internal::CLog log(options.log, options.min_level);
    modellib_session_options c = {};
    c.size = sizeof(c);
    c.threads = options.threads;
    c.published = options.published ? 1 : 0;
    c.tbb_arena = options.tbb_arena;
    c.workers = options.workers;
    c.memory = options.memory;
    c.memory_bytes = options.memory_bytes;
    c.max_bytes = options.max_bytes;
    c.allocator = options.allocator;
    c.variables = options.variables == nullptr ? nullptr : options.variables->get();
    c.log = log.get();
    if (options.on_step) {
      session.on_step_ = std::make_unique<OnStep>(options.on_step);
      c.step_user = session.on_step_.get();
      c.on_step = [](void* user, const modellib_step* step) {
        (*static_cast<const OnStep*>(user))(*step);
      };
    }
    modellib_session* handle = nullptr;
    const modellib_status status = modellib_session_create(plan.get(), &c, &handle);
    if (status != MODELLIB_OK) return Status::of(status);
    session.session_.reset(handle);
    return session;
  }

  modellib_session* get() const { return session_.get(); }

  Status bind_input(int32_t entry, int32_t input, const void* data,
                    std::initializer_list<int64_t> extents) {
    return bind_input(entry, input, data, extents.begin(), extents.size());
  }
  Status bind_input(int32_t entry, int32_t input, const void* data,
                    const std::vector<int64_t>& extents) {
    return bind_input(entry, input, data, extents.data(), extents.size());
  }
  Status bind_input(int32_t entry, int32_t input, const void* data, const int64_t* extents,
                    size_t rank) {
    return Status::of(modellib_session_bind_input(get(), entry, input, data, extents,
                                                  static_cast<int32_t>(rank)));
  }
  Status bind_output(int32_t entry, int32_t output, void* data, size_t bytes) {
    return Status::of(modellib_session_bind_output(get(), entry, output, data, bytes));
  }
  Status release_output(int32_t entry, int32_t output) {
    return Status::of(modellib_session_release_output(get(), entry, output));
  }
  Status set_dim(int32_t entry, int32_t dim, int64_t value) {
    return Status::of(modellib_session_set_dim(get(), entry, dim, value));
  }
  Status prepare(int32_t entry) { return Status::of(modellib_session_prepare(get(), entry)); }

  // Allocates nothing from the second time on.
  Status run(int32_t entry, const RunOptions& options = {}) {
    modellib_run_options c = {};
    c.size = sizeof(c);
    c.cancel = options.cancel == nullptr ? nullptr : options.cancel->get();
    if (options.deadline != std::chrono::steady_clock::time_point::max()) {
      const int64_t ns =
          std::chrono::duration_cast<std::chrono::nanoseconds>(options.deadline.time_since_epoch())
              .count();
      c.deadline_ns = ns > 0 ? ns : 1;  // 0 would be none, and all of these have passed
    }
    return Status::of(modellib_session_run(get(), entry, &c));
  }

  // The data is valid until the session is used again.
  Result<Tensor> output(int32_t entry, int32_t output) const {
    modellib_tensor c = {};
    c.size = sizeof(c);
    const modellib_status status = modellib_session_output(get(), entry, output, &c);
    if (status != MODELLIB_OK) return Status::of(status);
    return Tensor{c.dtype, std::vector<int64_t>(c.extents, c.extents + c.rank), c.data, c.bytes};
  }

  Status get_variable(const std::string& name, void* into, size_t bytes) const {
    return Status::of(modellib_session_get_variable(get(), name.c_str(), into, bytes));
  }
  Status set_variable(const std::string& name, const void* from, size_t bytes) {
    return Status::of(modellib_session_set_variable(get(), name.c_str(), from, bytes));
  }
  Status reset_variables() { return Status::of(modellib_session_reset_variables(get())); }

 private:
  using OnStep = std::function<void(const modellib_step&)>;
  Session() = default;

  // Declared first: the session that calls it ends first.
  std::unique_ptr<OnStep> on_step_;
  Owner<modellib_session, modellib_session_free> session_;
};

}  // namespace modellib::api

#endif  // MODELLIB_MODELLIB_HPP_
