#include "modellib/examples/ocr/ocr.h"

#include <tbb/flow_graph.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>
#include <tuple>
#include <utility>

#include "modellib/frontends/onnx/importer.h"

namespace modellib::examples {
namespace {

constexpr int kCanvas = 640;        // width and height of what the detector sees
constexpr int kLineHeight = 48;     // of a line, for the other two models
constexpr int kLongestLine = 1280;  // longer ones are squeezed
constexpr int kPaddedLine = 320;    // shorter ones are filled up: so the recogniser was trained
constexpr int kClassifierLine = 192;
constexpr float kSure = 0.9f;  // to turn a line

// A line of text as the models take it: of their height, and filled up to their width.
std::vector<float> planes_of(const Image& image, int width) {
  const int64_t plane = int64_t{image.height} * width;
  std::vector<float> planes(static_cast<size_t>(3 * plane));
  write_planes(image, planes.data(), width, plane);
  return planes;
}

int64_t argmax(const float* begin, int64_t count) {
  return std::max_element(begin, begin + count) - begin;
}

}  // namespace

api::Result<Ocr> Ocr::load(const std::string& models, int concurrency) {
  Ocr ocr;
  ocr.concurrency_ = concurrency;
  struct Part {
    std::unique_ptr<Model>* model;
    const char* file;
    std::vector<modellib_dim_range> dims;
  };
  const Part parts[] = {
      {&ocr.detector_,
       "/ocr_det.onnx",
       {{"p2o.DynamicDimension.0", 1, 1},
        {"p2o.DynamicDimension.1", kCanvas, kCanvas},
        {"p2o.DynamicDimension.2", kCanvas, kCanvas}}},
      {&ocr.classifier_,
       "/ocr_cls.onnx",
       {{"x_dim0", 1, 1},
        {"x_dim2", kLineHeight, kLineHeight},
        {"x_dim3", kClassifierLine, kClassifierLine}}},
      {&ocr.recogniser_,
       "/ocr_rec.onnx",
       {{"p2o.DynamicDimension.0", 1, 1},
        {"x_dim2", kLineHeight, kLineHeight},
        {"p2o.DynamicDimension.1", kPaddedLine, kLongestLine}}},
  };
  for (const Part& part : parts) {
    api::Result<std::unique_ptr<Model>> model =
        Model::load(models + part.file, part.dims, concurrency);
    if (!model) return model.status();
    *part.model = *std::move(model);
  }

  // The recogniser's file says which characters it knows, one a line; after them comes the space.
  const auto metadata = onnx::model_metadata(models + "/ocr_rec.onnx");
  if (!metadata.ok() || !metadata->contains("character")) {
    return api::Status(MODELLIB_INVALID_ARGUMENT, "ocr_rec.onnx names no characters");
  }
  std::istringstream list(metadata->at("character"));
  ocr.characters_.emplace_back();
  for (std::string line; std::getline(list, line);) ocr.characters_.push_back(line);
  ocr.characters_.emplace_back(" ");
  return ocr;
}

api::Result<std::vector<Image>> Ocr::detect(const std::string& picture, Page& page) {
  const api::Result<Image> image = read_png(picture);
  if (!image) return image.status();
  // As large as it fits into the canvas; its last pixels fill what is left.
  const double zoom = static_cast<double>(std::max(image->width, image->height)) / kCanvas;
  const double side = kCanvas * zoom;
  const Image canvas = cut(*image, {0, 0, side, 0, 0, side}, kCanvas, kCanvas);
  const api::Status status = detector_->run(
      planes_of(canvas, kCanvas), kCanvas, kCanvas, [&](const api::Tensor& probability) {
        for (TextBox box : find_text(probability.as<float>(), kCanvas, kCanvas)) {
          box.x *= zoom, box.y *= zoom, box.length *= zoom, box.height *= zoom;
          page.lines.push_back({.box = box});
        }
      });
  if (!status) return status;
  std::vector<Image> lines;
  for (const Line& line : page.lines) {
    const double width = std::ceil(kLineHeight * line.box.length / line.box.height);
    lines.push_back(cut(*image, frame_of(line.box),
                        static_cast<int>(std::min<double>(width, kLongestLine)), kLineHeight));
  }
  return lines;
}

api::Result<bool> Ocr::stands_on_its_head(const Image& line) {
  const Image squeezed =
      line.width <= kClassifierLine ? line : resized(line, kClassifierLine, kLineHeight);
  bool turned = false;
  const api::Status status =
      classifier_->run(planes_of(squeezed, kClassifierLine), kLineHeight, kClassifierLine,
                       [&](const api::Tensor& scores) { turned = scores.as<float>()[1] > kSure; });
  if (!status) return status;
  return turned;
}

api::Status Ocr::recognise(const Image& image, Line& line) {
  const int width = std::max(image.width, kPaddedLine);
  bool other_characters = false;
  const api::Status status =
      recogniser_->run(planes_of(image, width), kLineHeight, width, [&](const api::Tensor& scores) {
        const int64_t steps = scores.extents[1], classes = scores.extents[2];
        other_characters = classes != static_cast<int64_t>(characters_.size());
        if (other_characters) return;
        // The best class of each step; the same one again goes on, and class 0 stands between.
        int64_t previous = 0;
        int written = 0;
        for (int64_t step = 0; step < steps; ++step) {
          const float* row = scores.as<float>() + step * classes;
          const int64_t best = argmax(row, classes);
          if (best != 0 && best != previous) {
            line.text += characters_[static_cast<size_t>(best)];
            line.confidence += static_cast<double>(row[best]);
            ++written;
          }
          previous = best;
        }
        if (written > 0) line.confidence /= written;
      });
  if (other_characters) {
    return {MODELLIB_INVALID_ARGUMENT, "ocr_rec.onnx knows other characters than it names"};
  }
  return status;
}

std::vector<Page> Ocr::read(const std::vector<std::string>& pictures) {
  // A line, in its page, and what it looks like. No two tasks share anything that is written to.
  struct Task {
    Line* line;
    std::shared_ptr<const Image> image;
  };
  using Detect = tbb::flow::multifunction_node<size_t, std::tuple<Task>>;
  std::vector<Page> pages(pictures.size());
  const auto at_a_time = static_cast<size_t>(concurrency_);

  tbb::flow::graph graph;
  Detect detecting(graph, at_a_time, [&](size_t i, Detect::output_ports_type& ports) {
    api::Result<std::vector<Image>> images = detect(pictures[i], pages[i]);
    pages[i].status = images.status();
    if (!images) return;
    for (size_t l = 0; l < images->size(); ++l) {
      auto image = std::make_shared<const Image>(std::move((*images)[l]));
      std::get<0>(ports).try_put({&pages[i].lines[l], std::move(image)});
    }
  });
  tbb::flow::function_node<Task, Task> turning(graph, at_a_time, [&](Task task) {
    const api::Result<bool> turned = stands_on_its_head(*task.image);
    task.line->status = turned.status();
    if (turned && *turned) {
      task.line->turned = true;
      task.image = std::make_shared<const Image>(turned_around(*task.image));
    }
    return task;
  });
  tbb::flow::function_node<Task> recognising(graph, at_a_time, [&](const Task& task) {
    if (task.line->status) task.line->status = recognise(*task.image, *task.line);
  });
  tbb::flow::make_edge(tbb::flow::output_port<0>(detecting), turning);
  tbb::flow::make_edge(turning, recognising);

  for (size_t i = 0; i < pictures.size(); ++i) detecting.try_put(i);
  graph.wait_for_all();
  return pages;
}

}  // namespace modellib::examples
