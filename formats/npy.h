// NumPy's .npy files (format versions 1 to 3): one array of a file, any order, any byte order.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef MODELLIB_FORMATS_NPY_H_
#define MODELLIB_FORMATS_NPY_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/graph/tensor.h"

namespace modellib {

// A copy in C order and in this machine's byte order. The bytes may be hostile. InvalidArgument for
// what is no .npy file or does not hold as many bytes as its shape says; Unimplemented for
// element types that ModelLib lacks (complex numbers, strings, structures, objects).
absl::StatusOr<Tensor> parse_npy(absl::Span<const std::byte> bytes);
// Also NotFound or PermissionDenied for the file.
absl::StatusOr<Tensor> read_npy(const std::string& path);

// Version 1, little-endian, C order. What NumPy has no type for is widened to the smallest that
// holds every value: bf16 and the 8-bit floats to f32, 4-bit integers to 8 bits. Unimplemented for
// strings.
absl::StatusOr<std::string> npy_bytes(const Tensor& tensor);
// By way of a temporary file, which takes the place of `path` when it is complete.
absl::Status write_npy(const std::string& path, const Tensor& tensor);

}  // namespace modellib

#endif  // MODELLIB_FORMATS_NPY_H_
