#!/usr/bin/env python3
"""Computes the op goldens with PyTorch and writes ops/*.json; README.md documents the form.

    build/venv-goldens/bin/python tests/goldens/ops.py

The cases are in op_cases/, by family. Run again it writes the same files.
"""

import pathlib

import torch

from op_cases import layer, loss, module, movement, optimizer, pointwise, recorder, reduction, sequence


def main():
    torch.set_num_threads(1)
    for family in (pointwise, reduction, movement, layer, sequence, module, loss, optimizer):
        family.record()
    folder = pathlib.Path(__file__).resolve().parent / "ops"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    size = sum(op.write(folder) for op in recorder.Recorder.all)
    cases = sum(len(op.cases) for op in recorder.Recorder.all)
    print(f"{len(recorder.Recorder.all)} ops, {cases} cases, {size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
