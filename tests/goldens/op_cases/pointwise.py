"""Activations, elementary functions and what else works element by element."""

import math

import torch
import torch.nn.functional as F

from .recorder import Recorder, boolean, given, real

INF, NAN = math.inf, math.nan


def unary(op, reference, compute, variants=((None, {}),), edges=(), special=(), scale=4.0, offset=0.0):
    """`edges`: kinks, zeros and large values; `special`: infinities and NaN, where only the values count."""
    recorder = Recorder(op, reference)
    for variant, attrs in variants:
        suffix = f"_{variant}" if variant else ""
        fn = lambda t, attrs=attrs: compute(t["x"], **attrs)  # noqa: E731
        recorder.case("typical" + suffix, fn, [real("x", (3, 5), scale, offset)], attrs)
        if edges:
            recorder.case("edges" + suffix, fn, [given("x", edges)], attrs)
        if special:
            recorder.case("special" + suffix, fn, [given("x", special)], attrs, gradients=False)


def activations():
    wide = [0.0, -0.5, 0.5, -8.0, 8.0, -20.0, 20.0, -40.0, 40.0]
    ends = [-INF, INF, NAN]
    unary("relu", "torch.relu", torch.relu, edges=[0.0, -0.0, -1.0, 1.0, 1e-30, -1e-30], special=ends)
    unary("relu6", "torch.nn.functional.relu6", F.relu6, edges=[0.0, 6.0, -1.0, 3.0, 7.0, 40.0])
    unary("leaky_relu", "torch.nn.functional.leaky_relu", F.leaky_relu,
          variants=[("default", {"negative_slope": 0.01}), ("steep", {"negative_slope": 0.25})], edges=wide)
    unary("elu", "torch.nn.functional.elu", F.elu,
          variants=[("default", {"alpha": 1.0}), ("half", {"alpha": 0.5})], edges=wide)
    unary("selu", "torch.selu", torch.selu, edges=wide)
    unary("gelu", "torch.nn.functional.gelu", F.gelu,
          variants=[("exact", {"approximate": "none"}), ("tanh", {"approximate": "tanh"})], edges=wide)
    unary("silu", "torch.nn.functional.silu", F.silu, edges=wide)
    unary("mish", "torch.nn.functional.mish", F.mish, edges=wide)
    unary("sigmoid", "torch.sigmoid", torch.sigmoid, edges=wide, special=ends)
    unary("log_sigmoid", "torch.nn.functional.logsigmoid", F.logsigmoid, edges=wide)
    unary("tanh", "torch.tanh", torch.tanh, edges=wide + [1e-6, -1e-6], special=ends)
    unary("hard_sigmoid", "torch.nn.functional.hardsigmoid", F.hardsigmoid, edges=[-3.0, 3.0, *wide])
    unary("hard_tanh", "torch.nn.functional.hardtanh", F.hardtanh,
          variants=[("default", {"min_val": -1.0, "max_val": 1.0}),
                    ("lopsided", {"min_val": -0.5, "max_val": 2.0})],
          edges=[-1.0, 1.0, 2.0, *wide])
    unary("hardswish", "torch.nn.functional.hardswish", F.hardswish, edges=[-3.0, 3.0, *wide])
    unary("softplus", "torch.nn.functional.softplus", F.softplus,
          variants=[("default", {"beta": 1.0, "threshold": 20.0}), ("sharp", {"beta": 2.0, "threshold": 4.0})],
          edges=[2.0, 2.25, 19.5, 20.5, *wide])
    unary("softsign", "torch.nn.functional.softsign", F.softsign, edges=wide)


def elementary():
    ends = [-INF, INF, NAN]
    unary("exp", "torch.exp", torch.exp, edges=[0.0, -40.0, 40.0, 1e-8], special=ends)
    unary("expm1", "torch.expm1", torch.expm1, edges=[0.0, -40.0, 20.0, 2.0**-20, -(2.0**-20)])
    unary("log", "torch.log", torch.log, scale=2.0, offset=2.25, edges=[1.0, 2.0**-20, 2.0**20],
          special=[0.0, -1.0, INF, NAN])
    unary("log1p", "torch.log1p", torch.log1p, scale=2.0, offset=1.5, edges=[0.0, 2.0**-20, -0.5, 2.0**20])
    unary("sqrt", "torch.sqrt", torch.sqrt, scale=2.0, offset=2.25, edges=[1.0, 2.0**-20, 2.0**20],
          special=[0.0, -1.0, INF, NAN])
    unary("rsqrt", "torch.rsqrt", torch.rsqrt, scale=2.0, offset=2.25, edges=[1.0, 2.0**-20, 2.0**20],
          special=[0.0, INF])
    unary("reciprocal", "torch.reciprocal", torch.reciprocal, scale=2.0, offset=2.25,
          edges=[1.0, -2.0, 2.0**-20, 2.0**20])
    unary("square", "torch.square", torch.square, edges=[0.0, -3.0])
    unary("erf", "torch.erf", torch.erf, edges=[0.0, 2.0**-20, -0.25, 1.0, -3.0, 6.0], special=ends)
    unary("abs", "torch.abs", torch.abs, edges=[0.0, -1.5, 1.5], special=ends)
    unary("neg", "torch.neg", torch.neg, edges=[0.0, -1.5])
    unary("sign", "torch.sign", torch.sign, edges=[0.0, -1.5, 1.5])
    unary("sin", "torch.sin", torch.sin, edges=[0.0, 20.0, -100.0])
    unary("cos", "torch.cos", torch.cos, edges=[0.0, 20.0, -100.0])
    halves = [0.5, 1.5, 2.5, -0.5, -1.5, 0.25, -0.75, 3.0]
    unary("round", "torch.round", torch.round, edges=halves)
    unary("floor", "torch.floor", torch.floor, edges=halves)
    unary("ceil", "torch.ceil", torch.ceil, edges=halves)


def binary():
    for op in ("add", "sub", "mul"):
        fn = getattr(torch, op)
        recorder = Recorder(op, f"torch.{op}")
        call = lambda t, fn=fn: fn(t["a"], t["b"])  # noqa: E731
        recorder.case("same_shape", call, [real("a", (2, 3)), real("b", (2, 3))])
        recorder.case("row", call, [real("a", (2, 3)), real("b", (3,))])
        recorder.case("both_expand", call, [real("a", (2, 1, 3)), real("b", (4, 1))])
        recorder.case("scalar", call, [real("a", (2, 3)), real("b", ())])
    div = Recorder("div", "torch.div")
    call = lambda t: torch.div(t["a"], t["b"])  # noqa: E731
    div.case("same_shape", call, [real("a", (2, 3)), real("b", (2, 3), 1.0, 2.0)])
    div.case("both_expand", call, [real("a", (2, 1, 3)), real("b", (4, 1), 1.0, -2.0)])
    div.case("by_zero", call, [given("a", [1.0, -1.0, 0.0]), given("b", [0.0, 0.0, 0.0])], gradients=False)

    for op in ("maximum", "minimum"):
        fn = getattr(torch, op)
        recorder = Recorder(op, f"torch.{op}")
        call = lambda t, fn=fn: fn(t["a"], t["b"])  # noqa: E731
        recorder.case("same_shape", call, [real("a", (2, 5)), real("b", (2, 5))])
        recorder.case("broadcast", call, [real("a", (3, 1)), real("b", (4,))])
        # Where both are equal each gets half of the gradient.
        recorder.case("ties", call, [given("a", [1.0, 2.0, 3.0, 0.0]), given("b", [1.0, 3.0, 2.0, 0.0])])
        recorder.case("nan", call, [given("a", [NAN, 1.0, INF]), given("b", [1.0, NAN, NAN])],
                      gradients=False)

    power = Recorder("pow", "torch.pow")
    for exponent in (2.0, 3.0, 0.5, -1.0, 0.0, 1.0):
        # A negative base has a power only where the exponent is whole.
        x = real("x", (6,), 2.0, 2.25) if exponent in (0.5, -1.0) else real("x", (6,))
        power.case(f"scalar_{exponent:g}", lambda t, e=exponent: torch.pow(t["x"], e), [x],
                   {"exponent": exponent})
    power.case("zero_squared", lambda t: torch.pow(t["x"], 2.0), [given("x", [0.0, -1.5])], {"exponent": 2.0})
    power.case("tensor", lambda t: torch.pow(t["x"], t["exponent"]),
               [real("x", (2, 3), 1.0, 1.25), real("exponent", (3,))])

    clamp = Recorder("clamp", "torch.clamp")
    edges = given("x", [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    for name, attrs in (("both", {"min": -0.5, "max": 1.0}), ("min_only", {"min": -0.5}),
                        ("max_only", {"max": 1.0})):
        call = lambda t, attrs=attrs: torch.clamp(t["x"], **attrs)  # noqa: E731
        clamp.case(name, call, [real("x", (3, 4))], attrs)
        # On the limit itself the gradient passes.
        clamp.case(name + "_edges", call, [edges], attrs)
    clamp.case("nan", lambda t: torch.clamp(t["x"], -1.0, 1.0), [given("x", [NAN, INF, -INF])],
               {"min": -1.0, "max": 1.0}, gradients=False)

    where = Recorder("where", "torch.where")
    call = lambda t: torch.where(t["condition"], t["a"], t["b"])  # noqa: E731
    where.case("same_shape", call, [boolean("condition", (2, 5)), real("a", (2, 5)), real("b", (2, 5))])
    where.case("broadcast", call, [boolean("condition", (3, 1)), real("a", (4,)), real("b", ())])

    for op in ("eq", "ne", "lt", "le", "gt", "ge"):
        fn = getattr(torch, op)
        Recorder(op, f"torch.{op}").case(
            "broadcast", lambda t, fn=fn: fn(t["a"], t["b"]),
            [given("a", [[1.0, 2.0, 3.0], [0.0, NAN, INF]]), given("b", [1.0, 2.5, 3.0])], gradients=False)


def record():
    activations()
    elementary()
    binary()
