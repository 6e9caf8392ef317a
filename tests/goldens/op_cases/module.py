"""Layers that are judged as modules, not as ops: their cases name weights as the state dict does."""

import torch
import torch.nn.functional as F
from torch import nn

from .recorder import Recorder, given, integer, real


def transposed_convolutions():
    for dims, op in ((1, F.conv_transpose1d), (2, F.conv_transpose2d)):
        recorder = Recorder(f"conv_transpose{dims}d", f"torch.nn.functional.conv_transpose{dims}d")
        for name, channels, stride, padding, output_padding, dilation, groups in (
                ("plain", (2, 3), 1, 0, 0, 1, 1), ("stride", (2, 2), 2, 1, 1, 1, 1),
                ("dilation", (1, 2), 2, 1, 0, 2, 1), ("groups", (4, 2), 2, 0, 0, 1, 2)):
            x, out = (1, channels[0]) + (3, 4)[:dims], channels[1]
            args = (stride, padding, output_padding, groups, dilation)
            recorder.case(
                name, lambda t, a=args, op=op: op(t["x"], t["weight"], t["bias"], *a),
                [real("x", x), real("weight", (channels[0], out // groups) + (3, 2)[:dims], 1.0),
                 real("bias", (out,))],
                {"stride": stride, "padding": padding, "output_padding": output_padding,
                 "dilation": dilation, "groups": groups, "out_channels": out})


def instance_norm():
    recorder = Recorder("instance_norm", "torch.nn.InstanceNorm1d")

    def call(t, training):
        module = nn.InstanceNorm1d(3, affine="weight" in t, track_running_stats="running_mean" in t,
                                   momentum=0.25, dtype=torch.float64).train(training)
        state = {name: t[name] for name in ("weight", "bias") if name in t}
        buffers = {name: t[name].clone() for name in ("running_mean", "running_var") if name in t}
        y = torch.func.functional_call(module, {**state, **buffers}, (t["x"],))
        return (y, *buffers.values()) if buffers else y

    x, affine = real("x", (2, 3, 4)), [real("weight", (3,)), real("bias", (3,))]
    running = [real("running_mean", (3,), differentiable=False),
               real("running_var", (3,), 1.0, 1.5, differentiable=False)]
    recorder.case("plain", lambda t: call(t, True), [x], {"training": True})
    recorder.case("affine", lambda t: call(t, True), [x] + affine, {"training": True})
    for training in (True, False):
        recorder.case("train_statistics" if training else "eval_statistics", lambda t, b=training: call(t, b),
                      [x] + affine + running, {"training": training},
                      outputs=("y", "running_mean", "running_var"), constant_outputs=("running_mean", "running_var"))


def small():
    prelu = Recorder("prelu", "torch.nn.functional.prelu")
    for name, slopes in (("one", 1), ("channels", 3)):
        prelu.case(name, lambda t: F.prelu(t["x"], t["weight"]), [real("x", (2, 3, 2)), real("weight", (slopes,))])
    glu = Recorder("glu", "torch.nn.functional.glu")
    for name, dim in (("last", -1), ("first", 0)):
        glu.case(name, lambda t, d=dim: F.glu(t["x"], d), [real("x", (2, 3, 4))], {"dim": dim})

    # The table enters, rows that are looked up are shortened in it, and it leaves.
    renorm = Recorder("embedding_max_norm", "torch.nn.functional.embedding")

    def call(t, max_norm, norm_type):
        table = t["weight"].detach().clone()
        F.embedding(t["indices"], table, max_norm=max_norm, norm_type=norm_type)
        return F.embedding(t["indices"], table), table
    for name, max_norm, norm_type in (("two", 1.5, 2.0), ("one", 2.0, 1.0)):
        renorm.case(name, lambda t, m=max_norm, n=norm_type: call(t, m, n),
                    [integer("indices", (2, 3), 4), real("weight", (5, 3))],
                    {"max_norm": max_norm, "norm_type": norm_type}, gradients=False, outputs=("y", "weight"))


D, HEADS, INNER = 4, 2, 6


def transformer():
    def parameters(module):
        inputs = []
        for name, value in module.named_parameters():
            offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            inputs.append(real(name, tuple(value.shape), 0.5, offset))
        return inputs

    def layer(kind, options):
        options = {"batch_first": True, **options}
        return kind(D, HEADS, INNER, 0.0, dtype=torch.float64, **options)

    def call(module, t, names, **masks):
        weights = {name: t[name] for name, _ in module.named_parameters()}
        return torch.func.functional_call(module, weights, tuple(t[name] for name in names), masks)

    encoder = Recorder("transformer_encoder_layer", "torch.nn.TransformerEncoderLayer")
    padding = given("padding", [[False, False, True], [False, False, False]], torch.bool)
    for name, options, masks in (
            ("post_norm", {"activation": "relu"}, {}), ("pre_norm", {"activation": "gelu", "norm_first": True}, {}),
            ("length_first", {"activation": "relu", "batch_first": False}, {}),
            ("padding", {"activation": "relu"}, {"src_key_padding_mask": padding}),
            ("causal", {"activation": "relu"}, {"is_causal": True})):
        module = layer(nn.TransformerEncoderLayer, options)
        shape = (2, 3, D) if options.get("batch_first", True) else (3, 2, D)

        def compute(t, module=module, masks=masks):
            given_masks = {}
            if "src_key_padding_mask" in masks:
                given_masks["src_key_padding_mask"] = t["padding"]
            if "is_causal" in masks:
                given_masks["src_mask"] = torch.ones(3, 3, dtype=torch.bool).triu(1)
            return call(module, t, ("x",), **given_masks)
        encoder.case(name, compute, [real("x", shape)] + parameters(module) + [padding] * ("src_key_padding_mask" in masks),
                     {"num_heads": HEADS, "dim_feedforward": INNER, "activation": options["activation"],
                      "norm_first": options.get("norm_first", False),
                      "batch_first": options.get("batch_first", True), "is_causal": "is_causal" in masks})

    decoder = Recorder("transformer_decoder_layer", "torch.nn.TransformerDecoderLayer")
    for name, norm_first in (("post_norm", False), ("pre_norm", True)):
        module = layer(nn.TransformerDecoderLayer, {"activation": "relu", "norm_first": norm_first})

        def compute(t, module=module):
            hidden = torch.ones(2, 2, dtype=torch.bool).triu(1)
            return call(module, t, ("x", "memory"), tgt_mask=hidden, memory_key_padding_mask=t["padding"])
        decoder.case(name, compute,
                     [real("x", (2, 2, D)), real("memory", (2, 3, D))] + parameters(module) + [padding],
                     {"num_heads": HEADS, "dim_feedforward": INNER, "norm_first": norm_first})


def record():
    transposed_convolutions()
    instance_norm()
    small()
    transformer()
