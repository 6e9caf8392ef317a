"""Optimizers: five steps on a vector of six with given gradients.

Inputs are `param` [6] and `grads` [5, 6]; the output `params` [5, 6] is the vector after each step,
and the others are the slots after the last one.
"""

import torch

from .recorder import Recorder, real

STEPS, SIZE = 5, 6


def record_optimizer(op, kind, slots, variants):
    recorder = Recorder(op, f"torch.optim.{kind.__name__}")
    for name, attrs, extra_slots in variants:
        names = slots + extra_slots

        def call(t, attrs=attrs, names=names):
            options = dict(attrs)
            if "beta1" in options:
                options["betas"] = (options.pop("beta1"), options.pop("beta2"))
            param = torch.nn.Parameter(t["param"].clone())
            optimizer = kind([param], **options)
            trace = []
            for grad in t["grads"]:
                param.grad = grad.clone()
                optimizer.step()
                trace.append(param.detach().clone())
            state = optimizer.state[param]
            return torch.stack(trace), *(state[slot] for slot in names)
        recorder.case(name, call, [real("param", (SIZE,)), real("grads", (STEPS, SIZE))], attrs, gradients=False,
                      outputs=("params", *names))


def record():
    sgd = {"lr": 0.125, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    momentum = ("momentum_buffer",)
    record_optimizer("sgd", torch.optim.SGD, (), [
        ("plain", sgd, ()),
        ("weight_decay", sgd | {"weight_decay": 0.0625}, ()),
        ("momentum", sgd | {"momentum": 0.875}, momentum),
        ("dampening", sgd | {"momentum": 0.875, "dampening": 0.25}, momentum),
        ("nesterov", sgd | {"momentum": 0.875, "nesterov": True}, momentum),
        ("nesterov_decay", sgd | {"momentum": 0.875, "nesterov": True, "weight_decay": 0.0625}, momentum)])
    adam = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
    for op, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        record_optimizer(op, kind, ("exp_avg", "exp_avg_sq"), [
            ("plain", adam, ()),
            ("weight_decay", adam | {"weight_decay": 0.125}, ()),
            ("betas", adam | {"beta1": 0.5, "beta2": 0.75, "eps": 1e-3}, ()),
            # Before the first step's second moment falls, the running maximum shows nothing.
            ("amsgrad", adam | {"amsgrad": True, "beta2": 0.5}, ("max_exp_avg_sq",)),
            ("amsgrad_decay", adam | {"amsgrad": True, "beta2": 0.5, "weight_decay": 0.125},
             ("max_exp_avg_sq",))])
