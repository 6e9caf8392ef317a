#!/usr/bin/env python3
"""Trains small models in PyTorch for 20 steps and writes the losses to training/*.json.

    build/venv-goldens/bin/python tests/goldens/training_parity.py

Every model runs twice from the same weights on the same fresh batches, in float32 and in float64,
without dropout. README.md documents the files; weights and batches follow formula.md, so an engine
in another language trains on the same bits.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

import formula

FOLDER = pathlib.Path(__file__).resolve().parent / "training"
STEPS = 20
# Parameters are tensors 0, 1, 2, ... of the formula; the batch of step s is tensor 1000 + s.
FIRST_BATCH = 1000


class Mlp(nn.Module):
    """20-32-32-5 with relu."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(20, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x):  # [batch, 20]
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class ResidualCnn(nn.Module):
    """A convolution and one residual block, with batch norm."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(32, 4)

    def forward(self, x):  # [batch, 3, 8, 8]
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        y = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(y)) + x)
        return self.fc(F.avg_pool2d(x, 2).flatten(1))


class Transformer(nn.Module):
    """One post-norm encoder block on given embeddings, mean over the sequence, a linear head."""

    def __init__(self, activation):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(
            16, 2, dim_feedforward=32, dropout=0.0, activation=activation, batch_first=True, norm_first=False)
        self.head = nn.Linear(16, 4)

    def forward(self, x):  # [batch, 6, 16]
        return self.head(self.block(x).mean(dim=1))


class Lstm(nn.Module):
    """An LSTM cell unrolled over the sequence from a zero state; the last hidden state feeds a linear."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTMCell(8, 12), nn.Linear(12, 3)

    def forward(self, x):  # [batch, 5, 8]
        h = x.new_zeros(x.shape[0], 12)
        state = h, h
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.head(state[0])



MODELS = {
    "mlp": {
        "make": Mlp,
        "forward": ["x [16, 20]", "fc1: linear", "relu", "fc2: linear", "relu", "fc3: linear, logits [16, 5]",
                    "cross entropy, mean over the batch"],
        "input_shape": [16, 20], "loss": "cross_entropy", "target_count": 5,
        "optimizer": {"name": "adam", "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    },
    "cnn": {
        "make": ResidualCnn,
        "forward": ["x [8, 3, 8, 8]", "conv1: 3x3, padding 1, no bias", "bn1: batch norm, eps 1e-5, momentum 0.1",
                    "relu", "max pool 2x2, stride 2, called p [8, 8, 4, 4]", "conv2: 3x3, padding 1, no bias", "bn2",
                    "relu", "conv3: 3x3, padding 1, no bias", "bn3", "add p", "relu",
                    "average pool 2x2, stride 2 [8, 8, 2, 2]", "flatten [8, 32]", "fc: linear, logits [8, 4]",
                    "cross entropy, mean over the batch"],
        "input_shape": [8, 3, 8, 8], "loss": "cross_entropy", "target_count": 4,
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "dampening": 0.0, "nesterov": False,
                      "weight_decay": 0.001},
    },
    "lstm": {
        "make": Lstm,
        "forward": ["x [8, 5, 8]", "cell: LSTM cell with gates i, f, g, o, from zero h and c over 5 steps",
                    "last h [8, 12]", "head: linear [8, 3]", "mean squared error, mean over all 24 elements"],
        "input_shape": [8, 5, 8], "loss": "mse", "target_count": 3,
        "optimizer": {"name": "adam", "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    },
}
for _activation in ("gelu", "relu"):
    MODELS[f"transformer_{_activation}"] = {
        "make": lambda activation=_activation: Transformer(activation),
        "forward": ["x [8, 6, 16]", "block.self_attn: 2 heads of 8, not causal, scale 1/sqrt(8), rows of in_proj are q, k, v",
                    "add x", "block.norm1: layer norm, eps 1e-5, called n", "block.linear1",
                    "gelu (exact)" if _activation == "gelu" else "relu", "block.linear2", "add n",
                    "block.norm2: layer norm, eps 1e-5", "mean over the sequence [8, 16]", "head: linear, logits [8, 4]",
                    "cross entropy, mean over the batch"],
        "input_shape": [8, 6, 16], "loss": "cross_entropy", "target_count": 4,
        "optimizer": {"name": "adamw", "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
    }


def parameter_plan(model):
    """Name, shape, formula tensor, scale and offset of each parameter, in state-dict order."""
    plan = []
    for tensor, (name, value) in enumerate(model.named_parameters()):
        if "norm" in name or "bn" in name:
            scale, offset = 0.125, 1.0 if name.endswith("weight") else 0.0
        elif "bias" in name:
            scale, offset = 0.125, 0.0
        else:  # the power of two next to 1 / sqrt(fan in)
            scale, offset = 2.0 ** round(-0.5 * math.log2(value[0].numel())), 0.0
        plan.append({"name": name, "shape": list(value.shape), "tensor": tensor, "scale": scale, "offset": offset})
    return plan


def batch_of(spec, seed, step):
    """Inputs in [-1, 1], and targets that can be learnt from them."""
    x = torch.from_numpy(formula.uniform(seed, FIRST_BATCH + step, spec["input_shape"]))
    count = spec["target_count"]
    if spec["loss"] == "mse":
        return x, x[:, -1, :count]
    return x, x.flatten(1)[:, :count].argmax(dim=1)


def make_optimizer(parameters, options):
    options = dict(options)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.pop("name")]
    if "beta1" in options:
        options["betas"] = (options.pop("beta1"), options.pop("beta2"))
    return kind(parameters, **options)


def train(spec, seed, dtype):
    """Returns the losses, the model after the last step and the norms of the first step's gradients."""
    model = spec["make"]().to(dtype)
    with torch.no_grad():
        for item, value in zip(parameter_plan(model), model.parameters(), strict=True):
            start = formula.uniform(seed, item["tensor"], item["shape"], item["scale"], item["offset"])
            value.copy_(torch.from_numpy(start))
    optimizer = make_optimizer(model.parameters(), spec["optimizer"])
    losses, norms = [], None
    for step in range(STEPS):
        x, target = batch_of(spec, seed, step)
        output = model(x.to(dtype))
        loss = F.mse_loss(output, target.to(dtype)) if spec["loss"] == "mse" else F.cross_entropy(output, target)
        optimizer.zero_grad()
        loss.backward()
        if norms is None:
            norms = [value.grad.norm().item() for value in model.parameters()]
        optimizer.step()
        losses.append(loss.item())
    return losses, model, norms


def golden(name, spec, seed):
    loss_f32, _, _ = train(spec, seed, torch.float32)
    loss_f64, model, norms = train(spec, seed, torch.float64)
    parameters = parameter_plan(model)
    for item, value, norm in zip(parameters, model.parameters(), norms, strict=True):
        item["first_gradient_l2"] = float(f"{norm:.9g}")
        item["l2_after"] = float(f"{value.norm().item():.9g}")
    buffers = [{"name": key, "shape": list(value.shape), "initial": 1.0 if key.endswith("var") else 0.0,
                "after": [float(f"{element:.12g}") for element in value.tolist()]}
               for key, value in model.named_buffers() if value.is_floating_point()]
    return {
        "model": name, "torch": torch.__version__, "forward": spec["forward"],
        "seed": seed, "steps": STEPS,
        "input": {"shape": spec["input_shape"], "first_tensor": FIRST_BATCH, "scale": 1.0, "offset": 0.0},
        "loss": spec["loss"], "target_count": spec["target_count"],
        "optimizer": spec["optimizer"],
        "parameters": parameters, "buffers": buffers,
        "loss_f32": loss_f32, "loss_f64": loss_f64,
    }


def to_text(value):
    """One line for each entry, and one for each element of a list of objects or of the losses."""
    lines = []
    for key, entry in value.items():
        if isinstance(entry, list) and entry:
            body = ",\n  ".join(json.dumps(element) for element in entry)
            lines.append(f" {json.dumps(key)}: [\n  {body}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for seed, (name, spec) in enumerate(MODELS.items(), start=1):
        result = golden(name, spec, seed)
        (FOLDER / f"{name}.json").write_text(to_text(result))
        gap = max(abs(a - b) for a, b in zip(result["loss_f32"], result["loss_f64"]))
        print(f"{name}: loss {result['loss_f64'][0]:.4f} to {result['loss_f64'][-1]:.4f}, "
              f"float32 is off by at most {gap:.1e}")


if __name__ == "__main__":
    main()
