#!/usr/bin/env python3
"""Writes testdata/MODEL.onnx, the small form of each model, and testdata/MODEL.json: what ONNX Runtime computes with it.

    build/compare/venv/bin/python bench/compare/small_goldens.py

Goldens have the form of tests/onnx/model_goldens.py.
"""

import json
import os
import sys

import onnx
import onnxruntime

import models

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "onnx"))
from model_goldens import SEED, describe, integers, make, mask, uniform  # noqa: E402


def texts(words, length):
    return {"input_ids": integers((1, length), words), "attention_mask": mask([length - length // 8], length),
            "token_type_ids": integers((1, length), 2)}


INPUTS = {
    "mlp": {"pixels": uniform((3, 20))},
    "resnet50": {"image": uniform((1, 3, 33, 33))},
    "mobilenet_v2": {"image": uniform((1, 3, 32, 32))},
    "minilm": texts(50, 8),
    "bert_base": texts(50, 16),
}


def main():
    folder = os.path.join(HERE, "testdata")
    os.makedirs(folder, exist_ok=True)
    for name, specs in INPUTS.items():
        model = models.MODELS[name](small=True).model()
        path = os.path.join(folder, name + ".onnx")
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {key: make(spec, i) for i, (key, spec) in enumerate(specs.items())})
        names = [output.name for output in session.get_outputs()]
        run = {"inputs": [{"name": key, **spec} for key, spec in specs.items()],
               "outputs": [describe(key, value) for key, value in zip(names, outputs)]}
        golden = {"reference": "onnxruntime " + onnxruntime.__version__, "seed": SEED, "runs": [run]}
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(golden, file, separators=(",", ":"))
            file.write("\n")


if __name__ == "__main__":
    main()
