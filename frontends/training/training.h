// All of training: the one header that a training program needs.
#ifndef MODELLIB_FRONTENDS_TRAINING_TRAINING_H_
#define MODELLIB_FRONTENDS_TRAINING_TRAINING_H_

#include "modellib/frontends/training/data_loader.h"
#include "modellib/frontends/training/engine.h"
#include "modellib/frontends/training/losses.h"
#include "modellib/frontends/training/optimizer.h"
#include "modellib/frontends/training/progress_bar.h"
#include "modellib/frontends/training/train_program.h"

#endif  // MODELLIB_FRONTENDS_TRAINING_TRAINING_H_
