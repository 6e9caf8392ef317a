#!/usr/bin/env python3
"""Writes goldens/MODEL.json: what ONNX Runtime computes with the real models, on inputs made by formula.

    tests/onnx/model_goldens.py [MODEL ...]

Needs `onnxruntime` (1.32.0) and `numpy`, and the models: tools/data/models.py. An input is described by how it is
made (see INPUTS below and tests/goldens/formula.md), an output by its shape, up to 256 of its elements at even
distances, and the sum of its magnitudes: so a file of a few kilobytes stands for megabytes.
"""

import json
import os
import sys

import numpy as np
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "goldens"))
import formula  # noqa: E402

SAMPLES = 256
SEED = 4


def uniform(shape, scale=1.0, offset=0.0):
    return {"shape": list(shape), "kind": "uniform", "scale": scale, "offset": offset}


def integers(shape, n, dtype="i64"):
    return {"shape": list(shape), "kind": "integer", "n": n, "dtype": dtype}


def mask(lengths, width):
    """Ones up to a length in each row."""
    return {"shape": [len(lengths), width], "kind": "lengths", "lengths": lengths, "dtype": "i64"}


def constant(value, dtype="i64"):
    return {"shape": [], "kind": "constant", "value": value, "dtype": dtype}


# By model: the runs, each with its inputs by name.
INPUTS = {
    "minilm": [
        {"input_ids": integers((1, 8), 30000), "attention_mask": mask([8], 8)},
        {"input_ids": integers((3, 19), 30000), "attention_mask": mask([19, 7, 12], 19)},
    ],
    "ocr_cls": [{"x": uniform((1, 3, 48, 192))}, {"x": uniform((2, 3, 48, 96))}],
    "ocr_det": [{"x": uniform((1, 3, 64, 96))}, {"x": uniform((2, 3, 96, 32))}],
    "ocr_rec": [{"x": uniform((1, 3, 48, 96))}, {"x": uniform((2, 3, 48, 64))}],
    "silero_vad": [
        {"input": uniform((1, 576), 0.5), "state": uniform((2, 1, 128), 0.5), "sr": constant(16000)},
        {"input": uniform((3, 288), 0.5), "state": uniform((2, 3, 128), 0.5), "sr": constant(8000)},
    ],
    "magika": [{"bytes": integers((1, 2048), 256, "i32")}, {"bytes": integers((3, 2048), 256, "i32")}],
    "basic_pitch": [
        {"serving_default_input_2:0": uniform((1, 43844, 1), 0.5)},
        {"serving_default_input_2:0": uniform((2, 43844, 1), 0.5)},
    ],
    "attacut": [{"input": integers((1, 20), 60)}, {"input": integers((1, 57), 60)}],
    "captcha": [{"image": uniform((1, 3, 60, 160))}, {"image": uniform((3, 3, 60, 160))}],
    "seizure": [{"x": uniform((1, 100, 12))}, {"x": uniform((2, 100, 33))}],
    "spindle": [{"raw_signal": uniform((b, 1, 7500)), "spectrogram": uniform((b, 15, 7500))} for b in (1, 2)],
    "yolo": [{"images": uniform((1, 3, 64, 96))}, {"images": uniform((2, 3, 96, 64))}],
}

NUMPY = {"f32": np.float32, "i64": np.int64, "i32": np.int32}


def make(spec, tensor):
    shape = tuple(spec["shape"])
    dtype = NUMPY[spec.get("dtype", "f32")]
    if spec["kind"] == "uniform":
        return formula.uniform(SEED, tensor, shape, spec["scale"], spec["offset"])
    if spec["kind"] == "integer":
        return formula.integer(SEED, tensor, shape, spec["n"]).astype(dtype)
    if spec["kind"] == "lengths":
        return (np.arange(shape[1])[None, :] < np.array(spec["lengths"])[:, None]).astype(dtype)
    return np.array(spec["value"], dtype=dtype)


def describe(name, value):
    flat = value.reshape(-1)
    step = max(1, flat.size // SAMPLES)
    dtype = next(key for key, kind in NUMPY.items() if value.dtype == kind)
    samples = [float(f"{x:.9g}") if dtype == "f32" else int(x) for x in flat[::step][:SAMPLES]]
    total = float(np.abs(flat.astype(np.float64)).sum())
    return {"name": name, "dtype": dtype, "shape": list(value.shape), "step": step, "samples": samples,
            "sum_of_magnitudes": float(f"{total:.9g}")}


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
                "outputs": [describe(name, value) for name, value in zip(names, outputs)],
            })
        golden = {"reference": "onnxruntime " + onnxruntime.__version__, "seed": SEED, "runs": runs}
        with open(os.path.join(HERE, "goldens", model + ".json"), "w", encoding="utf-8") as file:
            json.dump(golden, file, separators=(",", ":"))
            file.write("\n")
        print(model, [[o["shape"] for o in run["outputs"]] for run in runs])


if __name__ == "__main__":
    main()
