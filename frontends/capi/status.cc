#include "modellib/frontends/capi/status.h"

#include <iterator>
#include <string>

namespace modellib::capi {
namespace {

thread_local std::string message;
thread_local bool lost = false;  // there was no memory for the text

void keep(absl::string_view text) noexcept {
  try {
    message.assign(text.data(), text.size());
    lost = false;
  } catch (const std::exception&) {
    lost = true;
  }
}

}  // namespace

modellib_status report(const absl::Status& status) noexcept {
  if (status.ok()) return MODELLIB_OK;
  keep(status.message());
  return static_cast<modellib_status>(status.code());
}

modellib_status report_out_of_memory() noexcept {
  lost = true;
  return MODELLIB_RESOURCE_EXHAUSTED;
}

modellib_status report_exception(const char* text) noexcept {
  keep(text);
  return MODELLIB_INTERNAL;
}

absl::Status callback_failed(modellib_status status, absl::string_view callback) {
  return absl::Status(
      static_cast<absl::StatusCode>(status),
      absl::StrCat("the caller's ", callback, " failed with ", modellib_status_name(status)));
}

}  // namespace modellib::capi

const char* modellib_error_message() {
  return modellib::capi::lost ? "out of memory" : modellib::capi::message.c_str();
}

const char* modellib_status_name(modellib_status status) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS"};
  const auto index = static_cast<size_t>(status);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

const char* modellib_version() {
#define MODELLIB_TEXT_INNER(x) #x
#define MODELLIB_TEXT(x) MODELLIB_TEXT_INNER(x)
  return MODELLIB_TEXT(MODELLIB_VERSION_MAJOR) "." MODELLIB_TEXT(
      MODELLIB_VERSION_MINOR) "." MODELLIB_TEXT(MODELLIB_VERSION_PATCH);
}

uint32_t modellib_version_number() {
  return MODELLIB_VERSION_MAJOR * 1000000 + MODELLIB_VERSION_MINOR * 1000 + MODELLIB_VERSION_PATCH;
}
