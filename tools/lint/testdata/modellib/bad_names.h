#pragma once

struct bad_struct {
  int value;
};
