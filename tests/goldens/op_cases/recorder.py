"""Runs PyTorch on small inputs and records values and gradients in the form of README.md.

A family's module makes one Recorder for each op and calls `case` for each case:

    def softmax():
        op = Recorder("softmax", "torch.softmax")
        x = op.real("x", (2, 5))
        op.case("last_axis", lambda t: torch.softmax(t["x"], -1), [x], {"dim": -1})

Inputs come from the formula, rounded to multiples of 1/64, so that float32 holds them exactly and
their text is short. Everything is computed in float64.
"""

import json
import math
import pathlib
import sys
import zlib

import torch

FOLDER = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(FOLDER))
import formula  # noqa: E402

GRID = 64
DTYPES = {torch.float64: "f32", torch.int64: "i64", torch.bool: "bool"}


class Input:
    """A named input. A Recorder fills in the data of one that comes from the formula."""

    def __init__(self, name, make, differentiable):
        self.name, self.make, self.differentiable = name, make, differentiable


def real(name, shape, scale=2.0, offset=0.0, differentiable=True):
    """Values in [offset - scale, offset + scale]; scale is a power of two."""
    def make(seed, tensor):
        values = torch.from_numpy(formula.uniform(seed, tensor, shape, scale, offset)).double()
        return torch.round(values * GRID) / GRID
    return Input(name, make, differentiable)


def integer(name, shape, n):
    """i64 values from 0 to n - 1."""
    return Input(name, lambda seed, tensor: torch.from_numpy(formula.integer(seed, tensor, shape, n)),
                 False)


def boolean(name, shape):
    def make(seed, tensor):
        return torch.from_numpy(formula.integer(seed, tensor, shape, 2).astype(bool))
    return Input(name, make, False)


def given(name, values, dtype=torch.float64, differentiable=True):
    """The values themselves, as nested lists; rounded to what f32 can hold."""
    tensor = torch.tensor(values, dtype=dtype)
    if tensor.is_floating_point():
        tensor = tensor.float().double()
    return Input(name, lambda seed, index: tensor.clone(), differentiable and tensor.is_floating_point())


class Recorder:
    """The cases of one op, written to ops/OP.json."""

    all = []

    def __init__(self, op, reference):
        self.op, self.reference, self.cases = op, reference, []
        Recorder.all.append(self)

    def case(self, name, compute, inputs, attrs=None, gradients=True, outputs=("y",),
             constant_outputs=()):
        """Records one case.

        `compute` takes a dict of tensors by name and returns a tensor or a tuple, one for each name in
        `outputs`. No gradient flows into integers or into the `constant_outputs`; with
        `gradients=False` the case checks values alone.
        """
        if any(existing["name"] == name for existing in self.cases):
            raise ValueError(f"{self.op} has two cases named {name}")
        # The seed hangs on the names alone, so a case added above leaves the others as they are.
        seed = zlib.crc32(f"{self.op}/{name}".encode())
        tensors = {item.name: item.make(seed, index) for index, item in enumerate(inputs)}
        wanted = [item.name for item in inputs if gradients and item.differentiable]
        for key in wanted:
            tensors[key].requires_grad_()
        results = compute(tensors)
        results = dict(zip(outputs, results if isinstance(results, tuple) else (results,), strict=True))

        upstream = {}
        if wanted:
            for index, (key, value) in enumerate(results.items()):
                if value.is_floating_point() and key not in constant_outputs:
                    upstream[key] = real(key, tuple(value.shape), 1.0).make(seed, 100 + index)
            grads = torch.autograd.grad(
                [results[key] for key in upstream], [tensors[key] for key in wanted],
                list(upstream.values()), allow_unused=True)
            grads = {key: torch.zeros_like(tensors[key]) if grad is None else grad
                     for key, grad in zip(wanted, grads)}
        else:
            grads = {}
        self.cases.append({
            "name": name, "attrs": attrs or {},
            "inputs": tensors, "outputs": results, "upstream": upstream, "input_grads": grads})

    def write(self, folder):
        lines = [_case_text(case) for case in self.cases]
        head = json.dumps(self.op), json.dumps(self.reference)
        text = '{"op":%s,"reference":%s,"cases":[\n%s\n]}\n' % (*head, ",\n".join(lines))
        json.loads(text)
        (folder / f"{self.op}.json").write_text(text)
        return len(text)


def _number(value, digits):
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return '"nan"'
    if math.isinf(value):
        return '"inf"' if value > 0 else '"-inf"'
    text = f"{value:.{digits}g}"
    # "-0" would be read as the integer 0.
    return "-0.0" if text == "-0" else text


def _tensor_text(name, tensor, digits):
    values = ",".join(_number(value, digits) for value in tensor.detach().flatten().tolist())
    shape = json.dumps(list(tensor.shape), separators=(",", ":"))
    return '{"name":"%s","dtype":"%s","shape":%s,"data":[%s]}' % (
        name, DTYPES[tensor.dtype], shape, values)


def _case_text(case):
    parts = ['"name":' + json.dumps(case["name"]),
             '"attrs":' + json.dumps(case["attrs"], separators=(",", ":"))]
    # Inputs lie on a grid and are written in full.
    for part, digits in (("inputs", 17), ("outputs", 9), ("upstream", 17), ("input_grads", 9)):
        tensors = [_tensor_text(name, tensor, digits) for name, tensor in case[part].items()]
        parts.append('"%s":[%s]' % (part, ",".join(tensors)))
    return "{" + ",\n ".join(parts) + "}"
