#!/usr/bin/env python3
"""Writes goldens/MODEL.json: what ONNX Runtime computes with the real models, on inputs made by formula.

    tests/onnx/model_goldens.py [MODEL ...]

Needs `onnxruntime` (1.32.0) and `numpy`, and the models: tools/data/models.py. An input is described by how it is
made (see INPUTS below and tests/goldens/formula.md), an output by its shape, up to 257 of its elements (see
describe) and the sum of its magnitudes: so a file of a few kilobytes stands for megabytes. Inputs are such that the
models find something: where outputs are hardly larger than what is tolerated, zeros would pass.
"""

import json
import math
import os
import sys

import numpy as np
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "goldens"))
import formula  # noqa: E402

SEED = 4
ALL = 256  # elements that an output may have to be stored whole
SPREAD, PEAKS = 192, 64  # of those of larger ones
ATOL = 1e-4
LEAST = 100  # times the absolute tolerance: what the largest sample of an output must reach

# Capitals of five by seven pixels.
LETTERS = {
    "A": [".###.", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"],
    "E": ["#####", "#....", "#....", "####.", "#....", "#....", "#####"],
    "H": ["#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"],
    "N": ["#...#", "##..#", "#.#.#", "#..##", "#...#", "#...#", "#...#"],
    "O": [".###.", "#...#", "#...#", "#...#", "#...#", "#...#", ".###."],
    "R": ["####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"],
    "S": [".####", "#....", "#....", ".###.", "....#", "....#", "####."],
    "T": ["#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."],
}


def uniform(shape, scale=1.0, offset=0.0):
    return {"shape": list(shape), "kind": "uniform", "scale": scale, "offset": offset}


def integers(shape, n, dtype="i64"):
    return {"shape": list(shape), "kind": "integer", "n": n, "dtype": dtype}


def mask(lengths, width):
    """Ones up to a length in each row."""
    return {"shape": [len(lengths), width], "kind": "lengths", "lengths": lengths, "dtype": "i64"}


def constant(value, dtype="i64"):
    return {"shape": [], "kind": "constant", "value": value, "dtype": dtype}


def pictures(height, width, dot, drawings, ground=0.75, ink=-0.75, scale=0.25):
    """Drawings, and noise: in each channel `#` is a square of ink of `dot` pixels, all else is ground."""
    return {"shape": [len(drawings), 3, height, width], "kind": "pictures", "dot": dot, "drawings": drawings,
            "ground": ground, "ink": ink, "scale": scale}


def tones(shape, played, level, scale):
    """Square waves, and noise: by row, [first, end, period] of each wave."""
    return {"shape": list(shape), "kind": "tones", "played": played, "level": level, "scale": scale}


def text(*lines, left=2, top=2):
    drawing = [""] * top
    for line in lines:
        drawing += ["." * left + ".".join(LETTERS[c][y] for c in line) for y in range(7)] + ["", ""]
    return drawing


def turned(drawing, height, width):
    """Upside down, in a picture of so many dots."""
    rows = [row.ljust(width, ".") for row in drawing + [""] * (height - len(drawing))]
    return [row[::-1].rstrip(".") for row in rows[::-1]]


def face(height, width, radius):
    """From the front, amid so many dots: hair, and in it a light oval with eyes, nose and mouth."""
    def inside(x, y, across, down, at_x=0.0, at_y=0.0):
        return ((x - at_x) / across) ** 2 + ((y - at_y) / down) ** 2 < 1

    def ink(x, y):
        if not inside(x, y, 0.8, 1):
            return inside(x, y, 1.05, 1.2, at_y=-0.25)
        return inside(abs(x), y, 0.16, 0.09, 0.35, -0.2) or inside(x, y, 0.1, 0.05, at_y=0.15) or \
            inside(x, y, 0.3, 0.08, at_y=0.5)

    return ["".join(".#"[ink((x - width / 2) / radius, (y - height / 2) / radius)] for x in range(width)).rstrip(".")
            for y in range(height)]


# By model: the runs, each with its inputs by name.
INPUTS = {
    "minilm": [
        {"input_ids": integers((1, 8), 30000), "attention_mask": mask([8], 8)},
        {"input_ids": integers((3, 19), 30000), "attention_mask": mask([19, 7, 12], 19)},
    ],
    "ocr_cls": [
        {"x": pictures(48, 192, 4, [text("NORTH")])},
        {"x": pictures(48, 96, 4, [text("EAST"), turned(text("EAST"), 12, 24)])},
    ],
    "ocr_det": [
        {"x": pictures(64, 96, 2, [text("NORTH", "EAST", left=8, top=6)])},
        {"x": pictures(96, 32, 1, [text("NOTE", "EAST", "SHORE", left=3, top=20), text("SEA", left=6, top=70)])},
    ],
    "ocr_rec": [
        {"x": pictures(48, 96, 4, [text("EAST", left=1)])},
        {"x": pictures(48, 64, 3, [text("TEA", top=4), text("SEA", top=4)])},
    ],
    "silero_vad": [
        {"input": tones((1, 576), [[[0, 576, 160], [0, 576, 32]]], 0.25, 0.0625), "state": uniform((2, 1, 128), 0.25),
         "sr": constant(16000)},
        {"input": tones(
            (3, 288), [[[0, 288, 80], [0, 288, 16]], [[0, 200, 64], [0, 200, 12]], [[100, 288, 50]]], 0.25, 0.0625),
         "state": uniform((2, 3, 128), 0.25), "sr": constant(8000)},
    ],
    "magika": [{"bytes": integers((1, 2048), 256, "i32")}, {"bytes": integers((3, 2048), 256, "i32")}],
    "basic_pitch": [
        {"serving_default_input_2:0": tones((1, 43844, 1), [[[5000, 20000, 100], [12000, 30000, 75]]], 0.25, 0.25)},
        {"serving_default_input_2:0": tones(
            (2, 43844, 1), [[[8000, 24000, 50], [26000, 43844, 80]], [[5000, 30000, 168]]], 0.25, 0.25)},
    ],
    "attacut": [{"input": integers((1, 20), 60)}, {"input": integers((1, 57), 60)}],
    "captcha": [{"image": uniform((1, 3, 60, 160))}, {"image": uniform((3, 3, 60, 160))}],
    "seizure": [{"x": uniform((1, 100, 12))}, {"x": uniform((2, 100, 33))}],
    "spindle": [{"raw_signal": uniform((b, 1, 7500)), "spectrogram": uniform((b, 15, 7500))} for b in (1, 2)],
    "yolo": [
        {"images": pictures(64, 96, 2, [face(32, 48, 8)], 0.875, 0.125, 0.0625)},
        {"images": pictures(96, 64, 2, [face(48, 32, 8), face(48, 32, 11)], 0.875, 0.125, 0.0625)},
    ],
}
TOLERANCES = {"basic_pitch": 5e-3}  # absolute ones, where they are not ATOL

NUMPY = {"f32": np.float32, "i64": np.int64, "i32": np.int32}


def painted(spec):
    pictures, channels, height, width = spec["shape"]
    values = np.full((pictures, channels, height, width), spec["ground"])
    for picture, drawing in enumerate(spec["drawings"]):
        for y, row in enumerate(drawing):
            for x in (x for x, mark in enumerate(row) if mark == "#"):
                square = [slice(at * spec["dot"], (at + 1) * spec["dot"]) for at in (y, x)]
                values[picture, :, square[0], square[1]] = spec["ink"]
    return values.reshape(-1)


def played(spec):
    rows, length = spec["shape"][:2]
    values = np.zeros((rows, length))
    time = np.arange(length)
    for row, waves in enumerate(spec["played"]):
        for first, end, period in waves:
            wave = np.where(time % period * 2 < period, spec["level"], -spec["level"])
            values[row, first:end] += wave[first:end]
    return values.reshape(-1)


def make(spec, tensor):
    shape = tuple(spec["shape"])
    dtype = NUMPY[spec.get("dtype", "f32")]
    if spec["kind"] == "uniform":
        return formula.uniform(SEED, tensor, shape, spec["scale"], spec["offset"])
    if spec["kind"] == "pictures":
        return formula.uniform(SEED, tensor, shape, spec["scale"], painted(spec))
    if spec["kind"] == "tones":
        return formula.uniform(SEED, tensor, shape, spec["scale"], played(spec))
    if spec["kind"] == "integer":
        return formula.integer(SEED, tensor, shape, spec["n"]).astype(dtype)
    if spec["kind"] == "lengths":
        return (np.arange(shape[1])[None, :] < np.array(spec["lengths"])[:, None]).astype(dtype)
    return np.array(spec["value"], dtype=dtype)


def describe(name, value, atol=ATOL):
    """Sample i is element i * step modulo the number of elements, to which the step is coprime: so samples lie all
    over the tensor and in different columns, until all have one. Single elements are the largest of each of 64 parts,
    for what counts may be rare, and the last of all."""
    flat = value.reshape(-1)
    dtype = next(key for key, kind in NUMPY.items() if value.dtype == kind)
    largest = np.abs(flat).max()
    if dtype == "f32" and not largest >= LEAST * atol:
        raise SystemExit(f"{name} is nothing to compare with: none of its magnitudes exceeds {largest:.3g}")

    def number(x):
        return float(f"{x:.9g}") if dtype == "f32" else int(x)

    step, count, single = 1, flat.size, []
    if flat.size > ALL:
        step, count = round(flat.size * 0.618), SPREAD
        while math.gcd(step, flat.size) > 1:
            step += 1
        ends = [flat.size * i // PEAKS for i in range(PEAKS + 1)]
        single = sorted({*(a + int(np.abs(flat[a:b]).argmax()) for a, b in zip(ends, ends[1:])), flat.size - 1})
    samples = [number(flat[i * step % flat.size]) for i in range(count)]
    total = float(np.abs(flat.astype(np.float64)).sum())
    return {"name": name, "dtype": dtype, "shape": list(value.shape), "step": step, "samples": samples,
            "single": [[i, number(flat[i])] for i in single], "sum_of_magnitudes": float(f"{total:.9g}")}


def main():
    for model in sys.argv[1:] or INPUTS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            os.path.join(ROOT, "build", "data", "models", model + ".onnx"), options,
            providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        runs = []
        for specs in INPUTS[model]:
            inputs = {name: make(spec, i) for i, (name, spec) in enumerate(specs.items())}
            outputs = session.run(names, inputs)
            runs.append({
                "inputs": [{"name": name, **spec} for name, spec in specs.items()],
                "outputs": [describe(name, value, TOLERANCES.get(model, ATOL)) for name, value in zip(names, outputs)],
            })
        golden = {"reference": "onnxruntime " + onnxruntime.__version__, "seed": SEED, "runs": runs}
        with open(os.path.join(HERE, "goldens", model + ".json"), "w", encoding="utf-8") as file:
            json.dump(golden, file, separators=(",", ":"))
            file.write("\n")
        print(model, [[o["shape"] for o in run["outputs"]] for run in runs])


if __name__ == "__main__":
    main()
