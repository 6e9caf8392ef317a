// The element in pipelines of GStreamer's: what it posts is what a direct run on the frames gives.
#include <gst/gst.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "modellib/examples/gstreamer/frame_classifier.h"
#include "modellib/modellib.hpp"

namespace modellib::examples {
namespace {

std::string plan_file() { return testing::TempDir() + "/colours.mlplan"; }

struct Posted {
  guint64 timestamp;
  int index;
  std::string label;
  double score;
};

struct Outcome {
  std::vector<Posted> posted;
  std::vector<FrameClassifier::Class> direct;  // of the frames that came out behind the element
  std::string error;
};

// Called for each frame at the end of the pipeline.
void classify_directly(GstElement*, GstBuffer* buffer, GstPad* pad, gpointer user) {
  static FrameClassifier* classifier =
      new FrameClassifier(*std::move(FrameClassifier::load(plan_file())));
  GstCaps* caps = gst_pad_get_current_caps(pad);
  GstVideoInfo info;
  GstVideoFrame frame;
  ASSERT_TRUE(gst_video_info_from_caps(&info, caps));
  gst_caps_unref(caps);
  ASSERT_TRUE(gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ));
  EXPECT_EQ(GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0), 92);
  const auto found =
      classifier->classify(static_cast<const guint8*>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0)),
                           GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0));
  gst_video_frame_unmap(&frame);
  ASSERT_TRUE(found.ok()) << found.status().message();
  static_cast<Outcome*>(user)->direct.push_back(*found);
}

Outcome run(const std::string& source, const std::string& properties) {
  Outcome outcome;
  const std::string text = source + " ! videoconvert ! videoscale ! modellibclassify " +
                           properties + " ! fakesink name=end signal-handoffs=true";
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(text.c_str(), &error);
  if (error != nullptr) {
    outcome.error = error->message;
    g_error_free(error);
    return outcome;
  }
  GstElement* end = gst_bin_get_by_name(GST_BIN(pipeline), "end");
  g_signal_connect(end, "handoff", G_CALLBACK(classify_directly), &outcome);
  gst_object_unref(end);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus* bus = gst_element_get_bus(pipeline);
  constexpr auto kTypes =
      static_cast<GstMessageType>(GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
  for (bool goes_on = true; goes_on;) {
    GstMessage* message = gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, kTypes);
    if (message == nullptr) {
      outcome.error = "nothing came within a minute";
      break;
    }
    goes_on = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT;
    const GstStructure* s = gst_message_get_structure(message);
    if (goes_on && gst_structure_has_name(s, "modellib-classify")) {
      Posted p = {};
      gst_structure_get_uint64(s, "timestamp", &p.timestamp);
      gst_structure_get_int(s, "class", &p.index);
      gst_structure_get_double(s, "score", &p.score);
      p.label = gst_structure_get_string(s, "label");
      outcome.posted.push_back(p);
    } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
      gst_message_parse_error(message, &error, nullptr);
      outcome.error = error->message;
      g_error_free(error);
    }
    gst_message_unref(message);
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(pipeline);
  return outcome;
}

std::string with_plan() { return "plan=" + plan_file() + " labels=examples/gstreamer/colours.txt"; }

TEST(Element, PostsWhatADirectRunGives) {
  const Outcome outcome = run("videotestsrc num-buffers=5 pattern=snow", with_plan());
  EXPECT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.posted.size(), 5u);
  ASSERT_EQ(outcome.direct.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(outcome.posted[i].index, outcome.direct[i].index) << i;
    EXPECT_EQ(outcome.posted[i].score, static_cast<double>(outcome.direct[i].score)) << i;
    // videotestsrc makes 30 frames a second.
    EXPECT_EQ(outcome.posted[i].timestamp, gst_util_uint64_scale(i, GST_SECOND, 30)) << i;
  }
}

TEST(Element, SeesColours) {
  for (const std::string colour : {"red", "green", "blue"}) {
    const Outcome outcome = run("videotestsrc num-buffers=2 pattern=" + colour, with_plan());
    EXPECT_EQ(outcome.error, "");
    ASSERT_EQ(outcome.posted.size(), 2u);
    EXPECT_EQ(outcome.posted[1].label, colour);
    EXPECT_GT(outcome.posted[1].score, 0.9);
  }
}

TEST(Element, SaysWhatIsWrongWithThePlan) {
  const std::string source = "videotestsrc num-buffers=1";
  EXPECT_NE(run(source, "plan=nowhere").error.find("nowhere"), std::string::npos);
  EXPECT_NE(run(source, "plan=examples/gstreamer/colours.txt").error, "");
  EXPECT_NE(run(source, "plan=" + plan_file() + " labels=nowhere").error.find("nowhere"),
            std::string::npos);
}

// Of the system's plugins only those that the pipelines need: no registry is made.
bool load_plugins() {
  const std::string system = "/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgst";
  for (const std::string& file :
       {system + "coreelements.so", system + "videotestsrc.so", system + "videoconvertscale.so",
        std::string("examples/gstreamer/libgstmodellib.so")}) {
    GError* error = nullptr;
    if (gst_plugin_load_file(file.c_str(), &error) == nullptr) {
      std::fprintf(stderr, "%s: %s\n", file.c_str(), error->message);
      return false;
    }
  }
  return true;
}

bool make_plan() {
  api::Result<api::Plan> plan = api::compile("examples/gstreamer/colours.mltxt");
  api::Status status = plan.status();
  if (plan) status = plan->write(plan_file());
  if (!status) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status.ok();
}

}  // namespace
}  // namespace modellib::examples

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  setenv("GST_PLUGIN_SYSTEM_PATH_1_0", "", 1);
  setenv("GST_REGISTRY_DISABLE", "yes", 1);
  gst_init(&argc, &argv);
  if (!modellib::examples::make_plan() || !modellib::examples::load_plugins()) return 1;
  return RUN_ALL_TESTS();
}
