// A GStreamer element that classifies frames of video with a plan and lets them pass as they are:
//
//   gst-launch-1.0 -m --gst-plugin-load=libgstmodellib.so videotestsrc pattern=red ! videoconvert !
//   videoscale !
//     modellibclassify plan=colours.mlplan labels=colours.txt ! fakesink
//
// For each frame it posts an element message "modellib-classify" with the fields timestamp (of the
// frame, in nanoseconds), class, label and score. It asks for frames of the plan's size.
#include <gst/gst.h>
#include <gst/video/gstvideofilter.h>
#include <gst/video/video.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "modellib/examples/gstreamer/frame_classifier.h"

namespace {

using modellib::examples::FrameClassifier;
namespace api = modellib::api;

// What belongs to an element; GObject makes and frees it without constructors.
struct State {
  std::string plan, labels_file;
  std::unique_ptr<FrameClassifier> classifier;  // between start and stop
  std::vector<std::string> labels;
};

struct ModellibClassify {
  GstVideoFilter parent;
  State* state;
};
struct ModellibClassifyClass {
  GstVideoFilterClass parent;
};

G_DEFINE_TYPE(ModellibClassify, modellib_classify, GST_TYPE_VIDEO_FILTER)

State& state_of(gpointer element) { return *static_cast<ModellibClassify*>(element)->state; }

enum Property : guint { kPlan = 1, kLabels };

void set_property(GObject* object, guint property, const GValue* value, GParamSpec* spec) {
  State& state = state_of(object);
  const char* text = g_value_get_string(value);
  switch (property) {
    case kPlan:
      state.plan = text == nullptr ? "" : text;
      break;
    case kLabels:
      state.labels_file = text == nullptr ? "" : text;
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, property, spec);
  }
}

void get_property(GObject* object, guint property, GValue* value, GParamSpec* spec) {
  const State& state = state_of(object);
  switch (property) {
    case kPlan:
      g_value_set_string(value, state.plan.c_str());
      break;
    case kLabels:
      g_value_set_string(value, state.labels_file.c_str());
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, property, spec);
  }
}

gboolean start(GstBaseTransform* transform) {
  State& state = state_of(transform);
  api::Result<FrameClassifier> classifier = FrameClassifier::load(state.plan);
  if (!classifier) {
    GST_ELEMENT_ERROR(transform, RESOURCE, OPEN_READ, ("%s", classifier.status().message().c_str()),
                      (nullptr));
    return FALSE;
  }
  state.classifier = std::make_unique<FrameClassifier>(*std::move(classifier));
  state.labels.clear();
  if (state.labels_file.empty()) return TRUE;
  std::ifstream file(state.labels_file);
  for (std::string line; std::getline(file, line);) state.labels.push_back(line);
  if (!file.eof()) {
    GST_ELEMENT_ERROR(transform, RESOURCE, OPEN_READ,
                      ("%s: cannot be read", state.labels_file.c_str()), (nullptr));
    return FALSE;
  }
  return TRUE;
}

gboolean stop(GstBaseTransform* transform) {
  state_of(transform).classifier.reset();
  return TRUE;
}

// Both sides have the same caps: of those proposed, the ones with the plan's size.
GstCaps* transform_caps(GstBaseTransform* transform, GstPadDirection, GstCaps* caps,
                        GstCaps* filter) {
  const State& state = state_of(transform);
  GstCaps* wanted = gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, "RGB", nullptr);
  if (state.classifier != nullptr) {
    gst_caps_set_simple(wanted, "width", G_TYPE_INT, state.classifier->width(), "height",
                        G_TYPE_INT, state.classifier->height(), nullptr);
  }
  GstCaps* result = gst_caps_intersect_full(caps, wanted, GST_CAPS_INTERSECT_FIRST);
  gst_caps_unref(wanted);
  if (filter != nullptr) {
    GstCaps* both = gst_caps_intersect_full(filter, result, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref(result);
    result = both;
  }
  return result;
}

GstFlowReturn classify_frame(GstVideoFilter* filter, GstVideoFrame* frame) {
  State& state = state_of(filter);
  const api::Result<FrameClassifier::Class> found =
      state.classifier->classify(static_cast<const guint8*>(GST_VIDEO_FRAME_PLANE_DATA(frame, 0)),
                                 GST_VIDEO_FRAME_PLANE_STRIDE(frame, 0));
  if (!found) {
    GST_ELEMENT_ERROR(filter, STREAM, FAILED, ("%s", found.status().message().c_str()), (nullptr));
    return GST_FLOW_ERROR;
  }
  const auto index = static_cast<size_t>(found->index);
  const std::string label =
      index < state.labels.size() ? state.labels[index] : std::to_string(index);
  GstStructure* result =
      gst_structure_new("modellib-classify",                                        //
                        "timestamp", G_TYPE_UINT64, GST_BUFFER_PTS(frame->buffer),  //
                        "class", G_TYPE_INT, found->index,                          //
                        "label", G_TYPE_STRING, label.c_str(),                      //
                        "score", G_TYPE_DOUBLE, static_cast<double>(found->score), nullptr);
  gst_element_post_message(GST_ELEMENT(filter),
                           gst_message_new_element(GST_OBJECT(filter), result));
  return GST_FLOW_OK;
}

void finalize(GObject* object) {
  delete &state_of(object);
  G_OBJECT_CLASS(modellib_classify_parent_class)->finalize(object);
}

void modellib_classify_init(ModellibClassify* self) {
  self->state = new State;
  gst_base_transform_set_passthrough(GST_BASE_TRANSFORM(self), TRUE);
}

void modellib_classify_class_init(ModellibClassifyClass* klass) {
  GObjectClass* object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  constexpr auto kFlags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                                   GST_PARAM_MUTABLE_READY);
  g_object_class_install_property(
      object, kPlan, g_param_spec_string("plan", "Plan", "File of the plan", "", kFlags));
  g_object_class_install_property(
      object, kLabels,
      g_param_spec_string("labels", "Labels", "File with the names of classes, one a line", "",
                          kFlags));

  GstElementClass* element = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_static_metadata(element, "Classifier", "Filter/Analyzer/Video",
                                        "Classifies frames with a plan of ModelLib's", "ModelLib");
  for (const GstPadDirection direction : {GST_PAD_SINK, GST_PAD_SRC}) {
    GstCaps* caps = gst_caps_from_string(GST_VIDEO_CAPS_MAKE("RGB"));
    gst_element_class_add_pad_template(
        element, gst_pad_template_new(direction == GST_PAD_SINK ? "sink" : "src", direction,
                                      GST_PAD_ALWAYS, caps));
    gst_caps_unref(caps);
  }

  GstBaseTransformClass* transform = GST_BASE_TRANSFORM_CLASS(klass);
  transform->start = start;
  transform->stop = stop;
  transform->transform_caps = transform_caps;
  GST_VIDEO_FILTER_CLASS(klass)->transform_frame_ip = classify_frame;
}

gboolean register_element(GstPlugin* plugin) {
  return gst_element_register(plugin, "modellibclassify", GST_RANK_NONE,
                              modellib_classify_get_type());
}

}  // namespace

#define PACKAGE "modellib"
// "Apache-2.0" is none of the licences that GStreamer knows by name.
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, modellib, "Runs plans of ModelLib's",
                  register_element, "0.1", GST_LICENSE_UNKNOWN, PACKAGE, "ModelLib")
