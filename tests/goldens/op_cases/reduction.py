"""Reductions, scans, softmax and its kin."""

import math

import torch

from .recorder import Recorder, given, real

INF = math.inf
# name, dim (None: all), keepdim
AXES = (("all", None, False), ("last", -1, False), ("first_keep", 0, True), ("two", [0, 2], False),
        ("two_keep", [1, 2], True))


def several_axes(op, reference, compute, axes=AXES, make=lambda: real("x", (2, 3, 4)), extra=None):
    recorder = Recorder(op, reference)
    for name, dim, keepdim in axes:
        attrs = {"keepdim": keepdim} | (extra or {})
        dims = list(range(3)) if dim is None else dim
        attrs["dim"] = dims
        recorder.case(name, lambda t, d=dims, k=keepdim: compute(t["x"], d, k), [make()], attrs)
    return recorder


def reductions():
    several_axes("sum", "torch.sum", lambda x, d, k: torch.sum(x, d, k))
    several_axes("mean", "torch.mean", lambda x, d, k: torch.mean(x, d, k))
    for op in ("amax", "amin"):
        fn = getattr(torch, op)
        recorder = several_axes(op, f"torch.{op}", lambda x, d, k, fn=fn: fn(x, d, k))
        # Equal extremes share the gradient evenly.
        recorder.case("ties", lambda t, fn=fn: fn(t["x"], -1),
                      [given("x", [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -1.0, -1.0]])],
                      {"dim": [-1], "keepdim": False})
    for op in ("max", "min"):
        fn = getattr(torch, op)
        recorder = Recorder(op, f"torch.{op}")
        for name, dim, keepdim in AXES[1:3]:
            recorder.case(name, lambda t, fn=fn, d=dim, k=keepdim: tuple(fn(t["x"], d, k)),
                          [real("x", (2, 3, 4))], {"dim": dim, "keepdim": keepdim},
                          outputs=("values", "indices"))
        # The whole gradient goes to the element that the index names.
        recorder.case("ties", lambda t, fn=fn: tuple(fn(t["x"], -1)),
                      [given("x", [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -1.0, -1.0]])],
                      {"dim": -1, "keepdim": False}, outputs=("values", "indices"))
    prod = Recorder("prod", "torch.prod")
    prod.case("last", lambda t: torch.prod(t["x"], -1), [real("x", (3, 4))], {"dim": -1, "keepdim": False})
    prod.case("first_keep", lambda t: torch.prod(t["x"], 0, True), [real("x", (3, 4))],
              {"dim": 0, "keepdim": True})
    prod.case("zeros", lambda t: torch.prod(t["x"], -1),
              [given("x", [[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [2.0, 3.0, -1.0]])],
              {"dim": -1, "keepdim": False})
    logsumexp = several_axes("logsumexp", "torch.logsumexp", lambda x, d, k: torch.logsumexp(x, d, k))
    logsumexp.case("large", lambda t: torch.logsumexp(t["x"], [-1]),
                   [given("x", [[200.0, 201.0, -200.0], [-300.0, -300.0, -301.0]])],
                   {"dim": [-1], "keepdim": False})
    logsumexp.case("infinite", lambda t: torch.logsumexp(t["x"], [-1]),
                   [given("x", [[-INF, -INF], [-INF, 1.0], [INF, 1.0]])],
                   {"dim": [-1], "keepdim": False}, gradients=False)
    for correction in (0, 1):
        name = {0: "var_population", 1: "var_sample"}[correction]
        several_axes(name, "torch.var", lambda x, d, k, c=correction: torch.var(x, d, correction=c, keepdim=k),
                     axes=AXES[1:4], extra={"correction": correction})
    for op in ("argmax", "argmin"):
        fn = getattr(torch, op)
        recorder = Recorder(op, f"torch.{op}")
        for name, dim, keepdim in AXES[1:3]:
            recorder.case(name, lambda t, fn=fn, d=dim, k=keepdim: fn(t["x"], d, k),
                          [real("x", (2, 3, 4))], {"dim": dim, "keepdim": keepdim}, gradients=False)
        recorder.case("ties_take_the_first", lambda t, fn=fn: fn(t["x"], -1),
                      [given("x", [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -1.0, -1.0]])],
                      {"dim": -1, "keepdim": False}, gradients=False)
    for op in ("any", "all"):
        fn = getattr(torch, op)
        recorder = Recorder(op, f"torch.{op}")
        x = given("x", [[True, False, True], [False, False, False], [True, True, True]], torch.bool)
        recorder.case("last", lambda t, fn=fn: fn(t["x"], -1), [x], {"dim": -1, "keepdim": False})


def scans_and_softmax():
    cumsum = Recorder("cumsum", "torch.cumsum")
    for dim in (0, 1, -1):
        cumsum.case(f"dim_{dim}", lambda t, d=dim: torch.cumsum(t["x"], d), [real("x", (2, 3, 4))], {"dim": dim})
    for op in ("softmax", "log_softmax"):
        fn = getattr(torch, op)
        recorder = Recorder(op, f"torch.{op}")
        for dim in (0, 1, -1):
            recorder.case(f"dim_{dim}", lambda t, fn=fn, d=dim: fn(t["x"], d), [real("x", (2, 3, 4), 4.0)],
                          {"dim": dim})
        recorder.case("large", lambda t, fn=fn: fn(t["x"], -1),
                      [given("x", [[200.0, 201.0, -200.0], [-300.0, -300.0, -301.0]])], {"dim": -1})
        recorder.case("masked", lambda t, fn=fn: fn(t["x"], -1),
                      [given("x", [[-INF, 1.0, 2.0], [0.0, -INF, -INF]])], {"dim": -1}, gradients=False)


def record():
    reductions()
    scans_and_softmax()
