"""Products, convolutions, pooling and normalisation."""

import torch
import torch.nn.functional as F

from .recorder import Recorder, real


def products():
    matmul = Recorder("matmul", "torch.matmul")
    for name, a, b in (("plain", (3, 4), (4, 5)), ("batched", (2, 3, 4), (2, 4, 2)),
                       ("shared_right", (2, 3, 4), (4, 2)), ("shared_left", (3, 4), (2, 4, 2)),
                       ("both_broadcast", (2, 1, 3, 2), (1, 3, 2, 2)), ("vector_matrix", (4,), (4, 3)),
                       ("matrix_vector", (3, 4), (4,)), ("dot", (5,), (5,)), ("inner_one", (3, 1), (1, 4))):
        matmul.case(name, lambda t: torch.matmul(t["a"], t["b"]), [real("a", a), real("b", b)])
    linear = Recorder("linear", "torch.nn.functional.linear")
    linear.case("bias", lambda t: F.linear(t["x"], t["weight"], t["bias"]),
                [real("x", (3, 4)), real("weight", (5, 4)), real("bias", (5,))])
    linear.case("no_bias", lambda t: F.linear(t["x"], t["weight"]), [real("x", (3, 4)), real("weight", (5, 4))])
    linear.case("three_axes", lambda t: F.linear(t["x"], t["weight"], t["bias"]),
                [real("x", (2, 3, 4)), real("weight", (2, 4)), real("bias", (2,))])


def convolutions():
    conv2d = Recorder("conv2d", "torch.nn.functional.conv2d")
    # name, x, weight, bias, stride, padding, dilation, groups
    for name, x, w, bias, stride, padding, dilation, groups in (
            ("plain", (1, 2, 4, 5), (3, 2, 3, 3), True, [1, 1], [0, 0], [1, 1], 1),
            ("one_by_one", (2, 3, 3, 3), (2, 3, 1, 1), True, [1, 1], [0, 0], [1, 1], 1),
            ("padding", (1, 2, 4, 4), (2, 2, 3, 3), False, [1, 1], [1, 1], [1, 1], 1),
            ("stride", (1, 2, 5, 5), (2, 2, 3, 3), True, [2, 2], [1, 1], [1, 1], 1),
            ("stride_leaves_rest", (1, 1, 6, 6), (2, 1, 3, 3), False, [2, 2], [0, 0], [1, 1], 1),
            ("dilation", (1, 1, 5, 6), (2, 1, 3, 3), False, [1, 1], [2, 2], [2, 2], 1),
            ("uneven", (1, 2, 5, 6), (2, 2, 2, 3), True, [2, 1], [0, 2], [1, 2], 1),
            ("groups", (1, 4, 4, 4), (4, 2, 3, 3), True, [1, 1], [1, 1], [1, 1], 2),
            ("depthwise", (1, 2, 4, 4), (2, 1, 3, 3), True, [1, 1], [1, 1], [1, 1], 2),
            ("depthwise_multiplier", (1, 2, 4, 4), (4, 1, 3, 3), False, [2, 2], [1, 1], [1, 1], 2)):
        inputs = [real("x", x), real("weight", w, 1.0)] + ([real("bias", w[:1])] if bias else [])
        args = (stride, padding, dilation, groups)
        conv2d.case(name, lambda t, a=args: F.conv2d(t["x"], t["weight"], t.get("bias"), *a), inputs,
                    {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})
    conv1d = Recorder("conv1d", "torch.nn.functional.conv1d")
    for name, x, w, stride, padding, dilation, groups in (
            ("plain", (2, 2, 6), (3, 2, 3), 1, 0, 1, 1), ("stride", (1, 2, 7), (2, 2, 3), 2, 1, 1, 1),
            ("dilation", (1, 2, 7), (2, 2, 3), 1, 2, 2, 1), ("groups", (1, 4, 5), (4, 2, 2), 1, 0, 1, 2)):
        args = (stride, padding, dilation, groups)
        conv1d.case(name, lambda t, a=args: F.conv1d(t["x"], t["weight"], t["bias"], *a),
                    [real("x", x), real("weight", w, 1.0), real("bias", w[:1])],
                    {"stride": [stride], "padding": [padding], "dilation": [dilation], "groups": groups})


def pooling():
    max_pool = Recorder("max_pool2d", "torch.nn.functional.max_pool2d")
    for name, x, kernel, stride, padding, dilation, ceil in (
            ("two", (1, 2, 4, 4), [2, 2], [2, 2], [0, 0], [1, 1], False),
            ("overlap", (1, 2, 5, 5), [3, 3], [2, 2], [1, 1], [1, 1], False),
            ("uneven", (2, 1, 4, 6), [2, 3], [1, 2], [1, 0], [1, 1], False),
            ("dilation", (1, 1, 6, 6), [2, 2], [1, 2], [0, 0], [2, 2], False),
            ("ceil", (1, 1, 5, 5), [2, 2], [2, 2], [0, 0], [1, 1], True)):
        args = (kernel, stride, padding, dilation, ceil)
        max_pool.case(name, lambda t, a=args: F.max_pool2d(t["x"], *a), [real("x", x)],
                      {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation,
                       "ceil_mode": ceil})
    avg_pool = Recorder("avg_pool2d", "torch.nn.functional.avg_pool2d")
    for name, x, kernel, stride, padding, ceil, include in (
            ("two", (1, 2, 4, 4), [2, 2], [2, 2], [0, 0], False, True),
            ("padding_counted", (1, 1, 5, 5), [3, 3], [2, 2], [1, 1], False, True),
            ("padding_not_counted", (1, 1, 5, 5), [3, 3], [2, 2], [1, 1], False, False),
            ("uneven", (2, 1, 4, 6), [2, 3], [1, 2], [1, 0], False, False),
            ("ceil_counted", (1, 1, 5, 5), [2, 2], [2, 2], [1, 1], True, True),
            ("ceil_not_counted", (1, 1, 5, 5), [2, 2], [2, 2], [0, 0], True, False)):
        args = (kernel, stride, padding, ceil, include)
        avg_pool.case(name, lambda t, a=args: F.avg_pool2d(t["x"], *a), [real("x", x)],
                      {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil,
                       "count_include_pad": include})
    for op in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        fn = getattr(F, op)
        recorder = Recorder(op, f"torch.nn.functional.{op}")
        for name, x, size in (("global", (1, 2, 3, 4), [1, 1]), ("even", (1, 2, 4, 6), [2, 3]),
                              ("uneven", (1, 2, 5, 7), [3, 2])):
            recorder.case(name, lambda t, fn=fn, s=size: fn(t["x"], s), [real("x", x)], {"output_size": size})


def norms():
    layer_norm = Recorder("layer_norm", "torch.nn.functional.layer_norm")
    for name, x, shape, affine in (("last", (3, 6), [6], True), ("two_axes", (2, 2, 3), [2, 3], True),
                                   ("no_affine", (3, 6), [6], False)):
        inputs = [real("x", x)] + ([real("weight", tuple(shape)), real("bias", tuple(shape))] if affine else [])
        layer_norm.case(
            name, lambda t, s=shape: F.layer_norm(t["x"], s, t.get("weight"), t.get("bias"), 1e-5), inputs,
            {"normalized_shape": shape, "eps": 1e-5})
    layer_norm.case("big_eps", lambda t: F.layer_norm(t["x"], [4], t["weight"], t["bias"], 0.5),
                    [real("x", (2, 4)), real("weight", (4,)), real("bias", (4,))],
                    {"normalized_shape": [4], "eps": 0.5})
    rms_norm = Recorder("rms_norm", "torch.nn.functional.rms_norm")
    for name, x, shape, affine in (("last", (3, 6), [6], True), ("two_axes", (2, 2, 3), [2, 3], True),
                                   ("no_affine", (3, 6), [6], False)):
        inputs = [real("x", x)] + ([real("weight", tuple(shape))] if affine else [])
        rms_norm.case(name, lambda t, s=shape: F.rms_norm(t["x"], s, t.get("weight"), 1e-6), inputs,
                      {"normalized_shape": shape, "eps": 1e-6})

    # Running statistics enter, are moved towards the batch's (mean, and variance with n - 1), and leave.
    batch_norm = Recorder("batch_norm", "torch.nn.functional.batch_norm")

    def call(t, training, momentum):
        mean, var = t["running_mean"].clone(), t["running_var"].clone()
        y = F.batch_norm(t["x"], mean, var, t.get("weight"), t.get("bias"), training, momentum, 1e-5)
        return y, mean, var
    for name, x, training, momentum, affine in (
            ("train", (2, 3, 2, 2), True, 0.1, True), ("train_no_affine", (4, 2, 3), True, 0.25, False),
            ("train_rows", (5, 3), True, 0.1, True), ("eval", (2, 3, 2, 2), False, 0.1, True),
            ("eval_no_affine", (4, 2, 3), False, 0.1, False)):
        channels = (x[1],)
        inputs = [real("x", x)]
        if affine:
            inputs += [real("weight", channels), real("bias", channels)]
        inputs += [real("running_mean", channels, differentiable=False),
                   real("running_var", channels, 1.0, 1.5, differentiable=False)]
        batch_norm.case(name, lambda t, b=training, m=momentum: call(t, b, m), inputs,
                        {"training": training, "momentum": momentum, "eps": 1e-5},
                        outputs=("y", "running_mean", "running_var"),
                        constant_outputs=("running_mean", "running_var"))

    group_norm = Recorder("group_norm", "torch.nn.functional.group_norm")
    for name, x, groups in (("two_groups", (1, 4, 2, 2), 2), ("one_group", (2, 3, 4), 1),
                            ("instance", (2, 3, 2, 2), 3)):
        group_norm.case(name, lambda t, g=groups: F.group_norm(t["x"], g, t["weight"], t["bias"], 1e-5),
                        [real("x", x), real("weight", x[1:2]), real("bias", x[1:2])],
                        {"num_groups": groups, "eps": 1e-5})


def record():
    products()
    convolutions()
    pooling()
    norms()
