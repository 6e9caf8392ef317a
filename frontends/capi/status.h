// How the C API's functions begin and end: structs of any version come in, a Status goes out as a
// number with a text, and no exception passes.
#ifndef MODELLIB_FRONTENDS_CAPI_STATUS_H_
#define MODELLIB_FRONTENDS_CAPI_STATUS_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/status_macros.h"
#include "modellib/modellib.h"

namespace modellib::capi {

// Keeps the text for modellib_error_message, on this thread.
modellib_status report(const absl::Status& status) noexcept;
// RESOURCE_EXHAUSTED, with a text that takes no memory.
modellib_status report_out_of_memory() noexcept;
// INTERNAL.
modellib_status report_exception(const char* text) noexcept;
// A Status of that code; the text says which callback gave it.
absl::Status callback_failed(modellib_status status, absl::string_view callback);

// Runs what a function does, `absl::Status body()`.
template <class Body>
modellib_status guarded(const Body& body) noexcept {
  try {
    return report(body());
  } catch (const std::bad_alloc&) {
    return report_out_of_memory();
  } catch (const std::exception& error) {
    return report_exception(error.what());
  } catch (...) {
    return report_exception("an exception of unknown type");
  }
}

inline absl::Status require(bool given, absl::string_view what) {
  return given ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat("'", what, "' is NULL"));
}

// The options that the caller gave, in full: what the caller's version of the struct lacks is zero.
// InvalidArgument where the caller's version is newer and asks for something that is not known
// here.
template <class T>
absl::StatusOr<T> in_full(const T* given, absl::string_view type) {
  T full = {};
  full.size = sizeof(T);
  if (given == nullptr) return full;
  const size_t size = given->size;
  if (size < sizeof(size_t)) {
    return absl::InvalidArgumentError(
        absl::StrCat(type, ".size is ", size, "; set it to sizeof(", type, ")"));
  }
  std::memcpy(&full, given, std::min(size, sizeof(T)));
  const auto* const bytes = reinterpret_cast<const std::byte*>(given);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] == std::byte{0}) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        type, " is that of a newer library and has something set that this one does not know"));
  }
  full.size = sizeof(T);
  return full;
}

// Writes as much of `full` as the caller's version of the struct has; the rest of a newer one
// becomes zero.
template <class T>
absl::Status fill(T* out, const T& full, absl::string_view type) {
  MODELLIB_RETURN_IF_ERROR(require(out != nullptr, type));
  const size_t size = out->size;
  if (size < sizeof(size_t)) {
    return absl::InvalidArgumentError(
        absl::StrCat(type, ".size is ", size, "; set it to sizeof(", type, ")"));
  }
  std::memset(static_cast<void*>(out), 0, size);
  std::memcpy(static_cast<void*>(out), &full, std::min(size, sizeof(T)));
  out->size = size;
  return absl::OkStatus();
}

}  // namespace modellib::capi

#endif  // MODELLIB_FRONTENDS_CAPI_STATUS_H_
