// Early return on a Status that is not ok, so that the straight path reads straight.
#ifndef MODELLIB_GRAPH_STATUS_MACROS_H_
#define MODELLIB_GRAPH_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define MODELLIB_RETURN_IF_ERROR(expr)                  \
  do {                                                  \
    if (absl::Status status_ = (expr); !status_.ok()) { \
      return status_;                                   \
    }                                                   \
  } while (false)

#define MODELLIB_CONCAT_INNER_(a, b) a##b
#define MODELLIB_CONCAT_(a, b) MODELLIB_CONCAT_INNER_(a, b)
#define MODELLIB_ASSIGN_OR_RETURN(lhs, expr) \
  MODELLIB_ASSIGN_OR_RETURN_IMPL_(MODELLIB_CONCAT_(statusor_, __LINE__), lhs, expr)
#define MODELLIB_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                                    \
  if (!statusor.ok()) return statusor.status();              \
  lhs = *std::move(statusor)

#endif  // MODELLIB_GRAPH_STATUS_MACROS_H_
