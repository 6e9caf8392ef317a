// How a node that works on channels-first images [batch, channels, spatial…] is carried out on
// channels-last ones [batch, spatial…, channels]: which operands and results change, and what the
// node becomes. For the pass "layout".
#ifndef MODELLIB_PASSES_CHANNELS_LAST_H_
#define MODELLIB_PASSES_CHANNELS_LAST_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "modellib/graph/builder.h"
#include "modellib/graph/graph.h"

namespace modellib {

// Behind the name of a value, it names that value with its channels last.
inline constexpr char kChannelsLastSuffix[] = "@channels-last";

// The axes of a channels-last image of so many axes, as axes of the channels-first one; and back.
std::vector<int64_t> to_channels_last(int rank);
std::vector<int64_t> to_channels_first(int rank);

// Bytes of a value at its largest extents; those without a bound count as 64.
int64_t image_bytes(const Graph& graph, ValueId id);

// What a node's operand or result is to it.
enum class ImageRole {
  kPlain,      // the same in both layouts: a filter, a bias along the channels
  kImage,      // of the node's rank: changes with the layout
  kBroadcast,  // of a lower rank, aligned from the right: is brought to the node's rank first
};
struct ChannelsLastForm {
  int rank = 0;  // of the images
  std::vector<ImageRole> inputs, outputs;
  // The node only changes the layout: in the other one it is nothing.
  bool is_conversion = false;
};
// Nothing if the node's result has a meaning in one layout only.
std::optional<ChannelsLastForm> channels_last_form(const Graph& graph, const Graph::Node& node);

// The node on operands that are channels-last where the form says image or broadcast; results are
// channels-last where it says image.
std::vector<Value> emit_channels_last(GraphBuilder& builder, const Graph& graph,
                                      const Graph::Node& node, absl::Span<const Value> operands);

}  // namespace modellib

#endif  // MODELLIB_PASSES_CHANNELS_LAST_H_
