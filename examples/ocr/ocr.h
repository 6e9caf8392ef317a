// Reads text in pictures with three models: one finds lines of text, one tells which of them stand
// on their head, one reads them. They are nodes of a flow graph, each with several sessions of one
// plan, so that while one picture is searched the lines of another are read.
//
//   pictures ──▶ detect ──▶ turn ──▶ recognise
//     index       lines     lines     text into the page
#ifndef MODELLIB_EXAMPLES_OCR_OCR_H_
#define MODELLIB_EXAMPLES_OCR_OCR_H_

#include <memory>
#include <string>
#include <vector>

#include "modellib/examples/ocr/model.h"
#include "modellib/examples/ocr/text_boxes.h"
#include "modellib/modellib.hpp"

namespace modellib::examples {

struct Line {
  TextBox box;  // in the picture
  std::string text;
  double confidence = 0;  // the mean of its characters' probabilities
  bool turned = false;    // it stood on its head
  api::Status status;     // why it could not be read
};

struct Page {
  api::Status status;  // why the picture could not be read
  std::vector<Line> lines;
};

class Ocr {
 public:
  // `models` is a folder with ocr_det.onnx, ocr_cls.onnx and ocr_rec.onnx, as tools/setup makes it.
  // Up to `concurrency` pictures are searched and as many lines read at a time, each by one thread
  // of TBB's.
  static api::Result<Ocr> load(const std::string& models, int concurrency);

  // One page for each picture (PNG files).
  std::vector<Page> read(const std::vector<std::string>& pictures);

 private:
  Ocr() = default;

  // The picture's lines, each cut out at the height that the other models want.
  api::Result<std::vector<Image>> detect(const std::string& picture, Page& page);
  api::Result<bool> stands_on_its_head(const Image& line);
  api::Status recognise(const Image& image, Line& line);

  int concurrency_ = 1;
  std::unique_ptr<Model> detector_, classifier_, recogniser_;
  std::vector<std::string> characters_;  // by class; class 0 is none
};

}  // namespace modellib::examples

#endif  // MODELLIB_EXAMPLES_OCR_OCR_H_
