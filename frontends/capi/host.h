// What the host brings, in the form that the library's C++ takes: memory, bytes, threads, a log.
#ifndef MODELLIB_FRONTENDS_CAPI_HOST_H_
#define MODELLIB_FRONTENDS_CAPI_HOST_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "modellib/executors/runtime/workers.h"
#include "modellib/formats/container.h"
#include "modellib/modellib.h"

namespace modellib::capi {

// Null for null. InvalidArgument where a function is missing.
absl::StatusOr<std::shared_ptr<Allocator>> allocator_of(const modellib_allocator* given);

class HostReader final : public ByteReader {
 public:
  // `given` is in full and has its function.
  explicit HostReader(const modellib_reader& given) : given_(given) {}
  uint64_t size() const override { return given_.length; }
  absl::Status read(uint64_t offset, absl::Span<std::byte> into) override;

 private:
  const modellib_reader given_;
};

// The threads that a session's options name; null: the session's own choice.
absl::StatusOr<std::shared_ptr<runtime::Workers>> workers_of(
    const modellib_session_options& options);

// A sink that may be absent.
class Log {
 public:
  // InvalidArgument for a sink without its function.
  static absl::StatusOr<Log> create(const modellib_log* given);

  // Whether a message is worth making.
  bool wants(modellib_log_level level) const {
    return sink_.write != nullptr && level >= sink_.min_level;
  }
  void write(modellib_log_level level, const std::string& text) const {
    if (wants(level)) sink_.write(sink_.user, level, text.c_str());
  }

 private:
  modellib_log sink_ = {};
};

}  // namespace modellib::capi

#endif  // MODELLIB_FRONTENDS_CAPI_HOST_H_
