"""Losses."""

import torch
import torch.nn.functional as F

from .recorder import Recorder, given, integer, real

REDUCTIONS = ("mean", "sum", "none")


def classification():
    ce = Recorder("cross_entropy", "torch.nn.functional.cross_entropy")

    def record_ce(name, inputs, **attrs):
        attrs = {"reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0} | attrs
        ce.case(name, lambda t: F.cross_entropy(t["logits"], t["target"], t.get("weight"), **attrs), inputs, attrs)

    logits, target = real("logits", (4, 3), 4.0), integer("target", (4,), 3)
    some_ignored = given("target", [2, 1, 0, 1], torch.int64)
    weight = given("weight", [0.5, 2.0, 1.0], differentiable=False)
    for reduction in REDUCTIONS:
        record_ce(f"plain_{reduction}", [logits, target], reduction=reduction)
        # With weights the mean divides by the sum of the weights of the targets.
        record_ce(f"weights_{reduction}", [logits, target, weight], reduction=reduction)
        record_ce(f"ignore_{reduction}", [logits, some_ignored], reduction=reduction, ignore_index=1)
    record_ce("weights_and_ignore", [logits, some_ignored, weight], ignore_index=1)
    record_ce("smoothing", [logits, target], label_smoothing=0.125)
    record_ce("spatial", [real("logits", (2, 3, 2, 2), 4.0), integer("target", (2, 2, 2), 3)])
    record_ce("large_logits", [given("logits", [[200.0, -200.0, 0.0], [-50.0, 50.0, 49.0]]),
                               given("target", [1, 2], torch.int64)])
    record_ce("probabilities", [logits, given("target", [[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [1.0, 0.0, 0.0],
                                                         [0.25, 0.25, 0.5]], differentiable=False)])

    nll = Recorder("nll_loss", "torch.nn.functional.nll_loss")
    for reduction in REDUCTIONS:
        attrs = {"reduction": reduction, "ignore_index": -100}
        nll.case(f"plain_{reduction}", lambda t, a=attrs: F.nll_loss(t["log_probs"], t["target"], **a),
                 [real("log_probs", (4, 3), 2.0, -2.0), target], attrs)
    attrs = {"reduction": "mean", "ignore_index": 1}
    nll.case("weights_and_ignore", lambda t: F.nll_loss(t["log_probs"], t["target"], t["weight"], **attrs),
             [real("log_probs", (4, 3), 2.0, -2.0), some_ignored, weight], attrs)

    bce = Recorder("binary_cross_entropy", "torch.nn.functional.binary_cross_entropy")
    bce_logits = Recorder("binary_cross_entropy_with_logits",
                          "torch.nn.functional.binary_cross_entropy_with_logits")
    soft = real("target", (2, 4), 0.5, 0.5, differentiable=False)
    for reduction in REDUCTIONS:
        attrs = {"reduction": reduction}
        bce.case(reduction, lambda t, a=attrs: F.binary_cross_entropy(t["probs"], t["target"], **a),
                 [real("probs", (2, 4), 0.25, 0.5), soft], attrs)
        bce_logits.case(reduction, lambda t, a=attrs: F.binary_cross_entropy_with_logits(
            t["logits"], t["target"], **a), [real("logits", (2, 4), 4.0), soft], attrs)
    # PyTorch cuts each logarithm off at -100.
    bce.case("certain", lambda t: F.binary_cross_entropy(t["probs"], t["target"], reduction="none"),
             [given("probs", [0.0, 1.0, 0.0, 1.0]), given("target", [0.0, 1.0, 1.0, 0.0])],
             {"reduction": "none"}, gradients=False)
    bce_logits.case("large", lambda t: F.binary_cross_entropy_with_logits(t["logits"], t["target"], reduction="none"),
                    [given("logits", [200.0, -200.0, 200.0, -200.0, 0.0]),
                     given("target", [1.0, 1.0, 0.0, 0.0, 0.5], differentiable=False)], {"reduction": "none"})
    bce_logits.case("pos_weight", lambda t: F.binary_cross_entropy_with_logits(
        t["logits"], t["target"], pos_weight=t["pos_weight"]),
        [real("logits", (2, 4), 4.0), soft, given("pos_weight", [1.0, 2.0, 0.5, 3.0], differentiable=False)],
        {"reduction": "mean"})


def regression():
    kinks = [given("input", [1.0, 0.0, 2.0, -1.0, 0.5, 3.0]), given("target", [1.0, 1.0, 0.0, 0.0, 0.0, 0.0])]
    for op, fn, extra in (("mse_loss", F.mse_loss, {}), ("l1_loss", F.l1_loss, {}),
                          ("smooth_l1_loss", F.smooth_l1_loss, {"beta": 1.0}), ("huber_loss", F.huber_loss, {"delta": 1.0})):
        recorder = Recorder(op, f"torch.nn.functional.{op}")
        call = lambda t, fn=fn, **a: fn(t["input"], t["target"], **a)  # noqa: E731
        for reduction in REDUCTIONS:
            attrs = {"reduction": reduction} | extra
            recorder.case(reduction, lambda t, call=call, a=attrs: call(t, **a),
                          [real("input", (3, 4)), real("target", (3, 4))], attrs)
        attrs = {"reduction": "none"} | extra
        recorder.case("kinks", lambda t, call=call, a=attrs: call(t, **a), kinks, attrs)
        for key in extra:
            attrs = {"reduction": "mean", key: 0.5}
            recorder.case(f"{key}_half", lambda t, call=call, a=attrs: call(t, **a),
                          [real("input", (3, 4)), real("target", (3, 4))], attrs)
    kl = Recorder("kl_div", "torch.nn.functional.kl_div")
    for reduction in ("sum", "none", "batchmean"):
        kl.case(reduction, lambda t, r=reduction: F.kl_div(t["input"], t["target"], reduction=r),
                [real("input", (2, 3), 2.0, -2.0), given("target", [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]],
                                                         differentiable=False)], {"reduction": reduction})


def record():
    classification()
    regression()
