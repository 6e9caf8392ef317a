"""Attention and recurrent layers."""

import torch
import torch.nn.functional as F
from torch import nn

from .recorder import Recorder, given, real


def attention():
    sdpa = Recorder("scaled_dot_product_attention", "torch.nn.functional.scaled_dot_product_attention")

    def record_case(name, query, key, value, mask=None, is_causal=False, scale=None, enable_gqa=False):
        inputs = [real("query", query), real("key", key), real("value", value)]
        attrs = {"is_causal": is_causal, "enable_gqa": enable_gqa}
        if mask is not None:
            inputs.append(mask)
        if scale is not None:
            attrs["scale"] = scale  # without it 1 / sqrt(head size)
        sdpa.case(name, lambda t: F.scaled_dot_product_attention(
            t["query"], t["key"], t["value"], t.get("attn_mask"), 0.0, is_causal, scale=scale,
            enable_gqa=enable_gqa), inputs, attrs)

    square = (1, 2, 4, 3)
    record_case("plain", square, square, square)
    record_case("cross", (2, 1, 2, 3), (2, 1, 4, 3), (2, 1, 4, 2))
    record_case("causal", square, square, square, is_causal=True)
    record_case("scale", square, square, square, scale=0.25)
    record_case("added_mask", square, square, square, real("attn_mask", (4, 4)))
    # True lets a key be seen. The first key stays visible, so no row is empty.
    visible = [[True, False, True, False], [True, True, False, False], [True, False, False, False],
               [True, True, True, True]]
    record_case("bool_mask", square, square, square, given("attn_mask", visible, torch.bool))
    record_case("grouped_queries", (1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2), enable_gqa=True)

    mha = Recorder("multi_head_attention", "torch.nn.MultiheadAttention (batch_first)")
    d, heads = 4, 2
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    shapes = ((3 * d, d), (3 * d,), (d, d), (d,))

    def weights(bias):
        return [real(name, shape, 1.0) for name, shape in zip(names, shapes) if bias or "bias" not in name]

    def call(t, bias, **options):
        module = nn.MultiheadAttention(d, heads, bias=bias, batch_first=True, dtype=torch.float64)
        parameters = {name: t[name] for name in names if name in t}
        key = t.get("key", t["query"])
        return torch.func.functional_call(module, parameters, (t["query"], key, t.get("value", key)), options)

    def record_mha(name, inputs, bias=True, average=True, mask=None, padding=None, is_causal=False):
        attrs = {"num_heads": heads, "average_attn_weights": average, "is_causal": is_causal}
        extra = [item for item in (mask, padding) if item is not None]

        def compute(t):
            options = {"average_attn_weights": average}
            if is_causal:
                n = t["query"].shape[1]
                options["attn_mask"] = torch.ones(n, n, dtype=torch.bool).triu(1)
            elif mask is not None:
                options["attn_mask"] = t["attn_mask"]
            if padding is not None:
                options["key_padding_mask"] = t["key_padding_mask"]
            return call(t, bias, **options)
        mha.case(name, compute, inputs + weights(bias) + extra, attrs, outputs=("y", "attn_weights"))

    query, short = real("query", (2, 3, d)), real("query", (1, 3, d))
    record_mha("self", [query])
    record_mha("self_no_bias", [short], bias=False, average=False)
    record_mha("cross", [real("query", (1, 2, d)), real("key", (1, 3, d)), real("value", (1, 3, d))])
    record_mha("causal", [short], is_causal=True)
    # Here, unlike above, True hides a key.
    hidden = given("attn_mask", [[False, True, False], [False, False, True], [False, False, False]], torch.bool)
    record_mha("mask", [short], mask=hidden)
    record_mha("padding", [query],
               padding=given("key_padding_mask", [[False, False, True], [False, False, False]], torch.bool))


def recurrent():
    batch, features, hidden = 2, 3, 4
    for op, module, gates, states in (("lstm_cell", nn.LSTMCell, 4, ("h", "c")), ("gru_cell", nn.GRUCell, 3, ("h",)),
                                      ("rnn_cell", nn.RNNCell, 1, ("h",))):
        recorder = Recorder(op, f"torch.nn.{module.__name__}")
        for bias in (True, False):
            inputs = [real("x", (batch, features))] + [real(s + "0", (batch, hidden), 1.0) for s in states]
            inputs += [real("weight_ih", (gates * hidden, features), 1.0),
                       real("weight_hh", (gates * hidden, hidden), 1.0)]
            if bias:
                inputs += [real("bias_ih", (gates * hidden,), 1.0), real("bias_hh", (gates * hidden,), 1.0)]

            def call(t, module=module, bias=bias, states=states):
                cell = module(features, hidden, bias=bias, dtype=torch.float64)
                start = tuple(t[s + "0"] for s in states)
                weights = {name: t[name] for name, _ in cell.named_parameters()}
                return torch.func.functional_call(cell, weights, (t["x"], start if len(start) > 1 else start[0]))
            recorder.case("bias" if bias else "no_bias", call, inputs, {"hidden_size": hidden}, outputs=states)

    for op, kind, states in (("lstm", nn.LSTM, ("h", "c")), ("gru", nn.GRU, ("h",))):
        recorder = Recorder(op, f"torch.nn.{kind.__name__} (batch_first)")
        for name, layers, both in (("one_layer", 1, False), ("two_layers", 2, False), ("bidirectional", 1, True)):
            size = 2 if name != "one_layer" else hidden
            module = kind(features, size, layers, batch_first=True, bidirectional=both, dtype=torch.float64)
            rows = layers * (2 if both else 1)
            inputs = [real("x", (batch, 3, features))]
            inputs += [real(s + "0", (rows, batch, size), 1.0) for s in states]
            inputs += [real(key, tuple(value.shape), 1.0) for key, value in module.named_parameters()]

            def call(t, module=module, states=states):
                start = tuple(t[s + "0"] for s in states)
                weights = {key: t[key] for key, _ in module.named_parameters()}
                y, last = torch.func.functional_call(module, weights,
                                                     (t["x"], start if len(start) > 1 else start[0]))
                return (y, *last) if len(start) > 1 else (y, last)
            recorder.case(name, call, inputs, {"hidden_size": size, "num_layers": layers, "bidirectional": both},
                          outputs=("y", *states))


def record():
    attention()
    recurrent()
