#!/usr/bin/env python3
"""Runs small published architectures and writes what they give to models/*.json.

    build/venv-goldens/bin/python tests/goldens/models.py

The models are torchvision's and transformers', in evaluation, in float64, with few layers. Weights
follow formula.md; README.md documents the files. Besides tools/goldens/requirements.txt it needs
tools/goldens/models_requirements.txt.
"""

import json
import math
import pathlib

import torch
import torchvision
import transformers
from transformers.pytorch_utils import Conv1D

import formula

FOLDER = pathlib.Path(__file__).resolve().parent / "models"


def resnet(block):
    return torchvision.models.resnet.ResNet(block, [1, 2, 1, 1], num_classes=5)


def bert():
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=8)
    return transformers.BertModel(config)


def gpt2():
    config = transformers.GPT2Config(vocab_size=20, n_positions=8, n_embd=16, n_layer=2, n_head=2, bos_token_id=0,
                                     eos_token_id=0)
    return transformers.GPT2LMHeadModel(config)


def run_bert(model, ids, token_type_ids, attention_mask):
    out = model(input_ids=ids, token_type_ids=token_type_ids, attention_mask=attention_mask)
    return {"last_hidden_state": out.last_hidden_state, "pooler_output": out.pooler_output}


MODELS = {
    "resnet_basic": {
        "make": lambda: resnet(torchvision.models.resnet.BasicBlock),
        "inputs": {"images": ("f32", (2, 3, 40, 33))}, "run": lambda m, images: {"logits": m(images)}},
    "resnet_bottleneck": {
        "make": lambda: resnet(torchvision.models.resnet.Bottleneck),
        "inputs": {"images": ("f32", (2, 3, 40, 33))}, "run": lambda m, images: {"logits": m(images)}},
    "bert": {
        "make": bert,
        "inputs": {"ids": (30, (2, 5)), "token_type_ids": (2, (2, 5)), "attention_mask": None}, "run": run_bert},
    "gpt2": {
        "make": gpt2, "inputs": {"ids": (20, (2, 6))}, "run": lambda m, ids: {"logits": m(input_ids=ids).logits}},
}


def fill(model, seed):
    """Gives parameters and running statistics the formula's values; returns how."""
    transposed = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Conv1D)}
    values = list(model.named_parameters())
    values += [(name, value) for name, value in model.named_buffers() if "running_" in name]
    plan = []
    for tensor, (name, value) in enumerate(values):
        # Conv1D keeps its weight as [in, out]; the file has [out, in], as linear layers have.
        shape = list(value.shape[::-1] if name in transposed else value.shape)
        if name.endswith("running_var"):
            scale, offset = 0.25, 1.0
        elif len(shape) == 1:
            is_norm = name.endswith("weight")
            scale, offset = 0.125, 1.0 if is_norm else 0.0
        else:  # the power of two next to 1 / sqrt(fan in)
            scale, offset = 2.0 ** round(-0.5 * math.log2(math.prod(shape[1:]))), 0.0
        start = torch.from_numpy(formula.uniform(seed, tensor, shape, scale, offset))
        with torch.no_grad():
            value.copy_(start.T if name in transposed else start)
        plan.append({"name": name, "shape": shape, "tensor": tensor, "scale": scale, "offset": offset})
    return plan


def inputs_of(spec, seed):
    inputs = {}
    for index, (name, kind) in enumerate(spec["inputs"].items()):
        tensor = 1000 + index
        if kind is None:  # the second sequence is shorter
            inputs[name] = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
        elif kind[0] == "f32":
            inputs[name] = torch.from_numpy(formula.uniform(seed, tensor, kind[1])).double()
        else:
            inputs[name] = torch.from_numpy(formula.integer(seed, tensor, kind[1], kind[0]))
    return inputs


def described(tensors, tensor_numbers):
    """Integers in full; real inputs by their number in the formula; outputs in nine digits."""
    entries = []
    for index, (name, value) in enumerate(tensors.items()):
        entry = {"name": name, "shape": list(value.shape)}
        if not value.is_floating_point():
            entry["integers"] = value.flatten().tolist()
        elif tensor_numbers:
            entry["tensor"] = 1000 + index
        else:
            entry["data"] = [float(f"{v:.9g}") for v in value.flatten().tolist()]
        entries.append(entry)
    return entries


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for seed, (name, spec) in enumerate(MODELS.items(), start=1):
        torch.manual_seed(0)
        model = spec["make"]().double().eval()
        parameters = fill(model, seed)
        inputs = inputs_of(spec, seed)
        with torch.no_grad():
            outputs = spec["run"](model, **inputs)
        result = {
            "model": name, "torch": torch.__version__, "torchvision": torchvision.__version__,
            "transformers": transformers.__version__, "seed": seed,
            "parameters": parameters, "inputs": described(inputs, True), "outputs": described(outputs, False)}
        lines = []
        for key, value in result.items():
            if isinstance(value, list):
                body = ",\n  ".join(json.dumps(item) for item in value)
                lines.append(f" {json.dumps(key)}: [\n  {body}\n ]")
            else:
                lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
        (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
        largest = max(value.abs().max().item() for value in outputs.values())
        print(f"{name}: {len(parameters)} tensors, largest output {largest:.3f}")


if __name__ == "__main__":
    main()
