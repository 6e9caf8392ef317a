// What oneDNN does for "cpu.conv2d": a convolution, with all but its activation, or one of its
// gradients with fixed extents, made once and run on the calling thread alone.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_CONV_PRIMITIVE_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_CONV_PRIMITIVE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "modellib/executors/cpu/kernels/conv.h"
#include "modellib/executors/runtime/kernel.h"
#include "oneapi/dnnl/dnnl.h"

namespace modellib::cpu {

class ConvPrimitive {
 public:
  // An operand of a run, by oneDNN's names; a null address: absent.
  struct Operand {
    int arg;
    dnnl_query_t what;
    float* address;
  };
  // Where the operands start within those of an image, in elements.
  struct Offsets {
    int64_t x = 0, w = 0, bias = 0, y = 0;
  };

  // Null; make() gives one that is not.
  ConvPrimitive() = default;
  ConvPrimitive(ConvPrimitive&& other) noexcept { *this = std::move(other); }
  ConvPrimitive& operator=(ConvPrimitive&& other) noexcept;
  ~ConvPrimitive();

  // That of piece `piece` of an image; of images_per_part images for the gradient of a filter.
  // `filter`: how the filter lies. Null: plain, or as the library likes it best where `pack`.
  static absl::StatusOr<ConvPrimitive> make(const ConvScalars& scalars, int64_t piece, bool pack,
                                            const dnnl_memory_desc_t* filter = nullptr);

  bool is_null() const { return primitive_ == nullptr; }
  const Offsets& offsets() const { return offsets_; }
  const dnnl_memory_desc_t& filter() const { return *md(dnnl_query_weights_md); }
  int64_t scratch_bytes() const;

  void run(std::initializer_list<Operand> operands, std::byte* scratch,
           runtime::Fault& fault) const;

 private:
  const dnnl_memory_desc_t* md(dnnl_query_t what, int index = 0) const {
    return dnnl_primitive_desc_query_md(desc_, what, index);
  }

  dnnl_primitive_desc_t desc_ = nullptr;
  dnnl_primitive_t primitive_ = nullptr;
  Offsets offsets_;
};

// Numbers the ways in which a filter may lie, so that a plan can say which one it was packed for.
int64_t layout_number(const dnnl_memory_desc_t& filter);

// The bytes of a filter that lies as `from` when it lies as `to`.
absl::StatusOr<std::vector<std::byte>> packed_filter(const dnnl_memory_desc_t& from,
                                                     const dnnl_memory_desc_t& to,
                                                     absl::Span<const float> filter);

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_CONV_PRIMITIVE_H_
