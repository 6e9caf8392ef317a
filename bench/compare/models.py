#!/usr/bin/env python3
"""Writes the models that bench/compare measures, as ONNX files with random weights from fixed seeds, and their inputs.

    bench/compare/models.py [--small] FOLDER [MODEL ...]

They have the architectures that were published, and are written as an exporter writes them: batch norms and clips are
nodes of their own, a linear layer on rows of words is MatMul and Add, gelu is five nodes, layer norm is one from opset 17
on (BERT) and nine before (MiniLM). Weights are scaled so that activations neither vanish nor explode, so that engines
can be compared by what they compute. --small writes models of the same shape but a few kilobytes, for tests.

For each model: FOLDER/MODEL.onnx, and FOLDER/MODEL.N.npy for input N.
"""

import argparse
import os
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Writer:
    """Collects nodes. What makes one returns the name of its result."""

    def __init__(self, name, opset):
        self.name, self.opset = name, opset
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.samples = []  # what each input holds

    def input(self, name, value):
        self.inputs.append(helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape))
        self.samples.append(value)
        return name

    def output(self, value, name, shape):
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, value):
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def normal(self, shape, scale):
        return self.constant(self.random.standard_normal(shape, dtype=np.float32) * np.float32(scale))

    def uniform(self, size, low, high):
        return self.constant(self.random.uniform(low, high, size).astype(np.float32))

    def op(self, kind, *operands, **attributes):
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(operands), [name], name=f"node_{name}", **attributes))
        return name

    def model(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model)
        return model

    # Layers of perceptrons and image models.

    def gemm(self, x, width, to, gain=1.0):
        return self.op("Gemm", x, self.normal((to, width), gain / np.sqrt(width)), self.normal(to, 0.1), transB=1)

    def conv(self, x, width, to, kernel=1, stride=1, groups=1):
        fan_in = width // groups * kernel * kernel
        weight = self.normal((to, width // groups, kernel, kernel), np.sqrt(2 / fan_in))
        return self.op("Conv", x, weight, kernel_shape=[kernel] * 2, strides=[stride] * 2, dilations=[1, 1],
                       pads=[kernel // 2] * 4, group=groups)

    def batch_norm(self, x, width, gain=1.0):
        return self.op("BatchNormalization", x, self.uniform(width, 0.8 * gain, 1.2 * gain), self.normal(width, 0.1),
                       self.normal(width, 0.1), self.uniform(width, 0.5, 1.5), epsilon=1e-5)

    def pooled_classes(self, x, width, classes):
        x = self.op("Flatten", self.op("GlobalAveragePool", x), axis=1)
        return self.gemm(x, width, classes)

    # Layers of language models.

    def linear(self, x, width, to):
        product = self.op("MatMul", x, self.normal((width, to), 1 / np.sqrt(width)))
        return self.op("Add", self.normal(to, 0.1), product)

    def layer_norm(self, x, width, eps=1e-12):
        weight, bias = self.uniform(width, 0.8, 1.2), self.normal(width, 0.1)
        if self.opset >= 17:
            return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        square = self.op("Pow", centred, self.constant(np.float32(2)))
        variance = self.op("Add", self.op("ReduceMean", square, axes=[-1]), self.constant(np.float32(eps)))
        normal = self.op("Div", centred, self.op("Sqrt", variance))
        return self.op("Add", self.op("Mul", normal, weight), bias)

    def gelu(self, x):
        erf = self.op("Erf", self.op("Div", x, self.constant(np.float32(np.sqrt(2)))))
        product = self.op("Mul", x, self.op("Add", erf, self.constant(np.float32(1))))
        return self.op("Mul", product, self.constant(np.float32(0.5)))


def mlp(small):
    """A perceptron on 64 images of 28x28."""
    batch, widths = (3, [20, 24, 10]) if small else (64, [784, 256, 256, 10])
    w = Writer("mlp", 17)
    x = w.input("pixels", w.random.random((batch, widths[0]), dtype=np.float32))
    for i, (width, to) in enumerate(zip(widths, widths[1:])):
        x = w.gemm(w.op("Relu", x) if i > 0 else x, width, to, gain=np.sqrt(2))
    w.output(x, "logits", [batch, widths[-1]])
    return w


def image(w, extent):
    return w.input("image", w.random.standard_normal((1, 3, extent, extent), dtype=np.float32))


def resnet50(small):
    """He et al. 2015, with the stride in the 3x3 convolution."""
    width, depths, extent, classes = (8, [1, 2], 33, 10) if small else (64, [3, 4, 6, 3], 224, 1000)
    w = Writer("resnet50", 17)
    x = w.op("Relu", w.batch_norm(w.conv(image(w, extent), 3, width, kernel=7, stride=2), width))
    x = w.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = width
    for stage, depth in enumerate(depths):
        inner, outer = width << stage, 4 * width << stage
        for block in range(depth):
            stride = 2 if block == 0 and stage > 0 else 1
            y = w.op("Relu", w.batch_norm(w.conv(x, channels, inner), inner))
            y = w.op("Relu", w.batch_norm(w.conv(y, inner, inner, kernel=3, stride=stride), inner))
            y = w.batch_norm(w.conv(y, inner, outer), outer, gain=0.3)
            if block == 0:
                x = w.batch_norm(w.conv(x, channels, outer, stride=stride), outer)
            x, channels = w.op("Relu", w.op("Add", y, x)), outer
    w.output(w.pooled_classes(x, channels, classes), "logits", [1, classes])
    return w


def mobilenet_v2(small):
    """Sandler et al. 2018: blocks that widen, filter each channel, and narrow again."""
    # How much wider, output channels, blocks, stride of the first.
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    stem, last, extent, classes = 32, 1280, 224, 1000
    if small:
        table, stem, last, extent, classes = [(1, 16, 1, 1), (6, 16, 2, 2)], 16, 32, 32, 10
    w = Writer("mobilenet_v2", 17)
    low, high = w.constant(np.float32(0)), w.constant(np.float32(6))

    def clipped(x, *layer, **options):
        return w.op("Clip", w.batch_norm(w.conv(x, *layer, **options), layer[1]), low, high)

    x, channels = clipped(image(w, extent), 3, stem, kernel=3, stride=2), stem
    for factor, to, depth, first_stride in table:
        for block in range(depth):
            inner, stride = factor * channels, first_stride if block == 0 else 1
            y = clipped(x, channels, inner) if factor > 1 else x
            y = clipped(y, inner, inner, kernel=3, stride=stride, groups=inner)
            y = w.batch_norm(w.conv(y, inner, to), to)
            x, channels = w.op("Add", x, y) if stride == 1 and channels == to else y, to
    x = clipped(x, channels, last)
    w.output(w.pooled_classes(x, last, classes), "logits", [1, classes])
    return w


def encoder(w, words, width, heads, inner, layers, length):
    """The encoder of Devlin et al. 2018 on one text, the last eighth of which is padding. [1, length, width]"""
    ids = w.input("input_ids", w.random.integers(0, words, (1, length)))
    seen = w.input("attention_mask", (np.arange(length)[None, :] < length - length // 8).astype(np.int64))
    segments = w.input("token_type_ids", np.zeros((1, length), np.int64))

    mask = w.op("Unsqueeze", w.op("Unsqueeze", seen, w.constant(np.array([1]))), w.constant(np.array([2])))
    hidden = w.op("Sub", w.constant(np.float32(1)), w.op("Cast", mask, to=TensorProto.FLOAT))
    mask = w.op("Mul", hidden, w.constant(np.finfo(np.float32).min))

    x = w.op("Add", w.op("Gather", w.normal((words, width), 0.05), ids),
             w.op("Gather", w.normal((2, width), 0.05), segments))
    places = w.constant(np.arange(length)[None, :])
    x = w.layer_norm(w.op("Add", x, w.op("Gather", w.normal((4 * length, width), 0.05), places)), width)

    size = width // heads
    split, merged = w.constant(np.array([1, length, heads, size])), w.constant(np.array([1, length, width]))
    for _ in range(layers):
        q, k, v = (w.op("Reshape", w.linear(x, width, width), split) for _ in range(3))
        scores = w.op("MatMul", w.op("Transpose", q, perm=[0, 2, 1, 3]), w.op("Transpose", k, perm=[0, 2, 3, 1]))
        scores = w.op("Add", w.op("Div", scores, w.constant(np.float32(np.sqrt(size)))), mask)
        y = w.op("MatMul", w.op("Softmax", scores, axis=-1), w.op("Transpose", v, perm=[0, 2, 1, 3]))
        y = w.op("Reshape", w.op("Transpose", y, perm=[0, 2, 1, 3]), merged)
        x = w.layer_norm(w.op("Add", w.linear(y, width, width), x), width)
        y = w.linear(w.gelu(w.linear(x, width, inner)), inner, width)
        x = w.layer_norm(w.op("Add", y, x), width)
    return x


def minilm(small):
    """all-MiniLM-L6: BERT of 6 layers of 384."""
    sizes = (50, 16, 2, 32, 2, 8) if small else (30522, 384, 12, 1536, 6, 128)
    w = Writer("minilm", 14)
    w.output(encoder(w, *sizes), "last_hidden_state", [1, sizes[-1], sizes[1]])
    return w


def bert_base(small):
    words, width, heads, inner, layers, length = (50, 24, 3, 48, 1, 16) if small else (30522, 768, 12, 3072, 12, 128)
    w = Writer("bert_base", 17)
    x = encoder(w, words, width, heads, inner, layers, length)
    w.output(x, "last_hidden_state", [1, length, width])
    first = w.op("Gather", x, w.constant(np.int64(0)), axis=1)
    w.output(w.op("Tanh", w.gemm(first, width, width)), "pooler_output", [1, width])
    return w


MODELS = {f.__name__: f for f in (mlp, minilm, resnet50, mobilenet_v2, bert_base)}


def write(name, folder, small=False):
    os.makedirs(folder, exist_ok=True)
    w = MODELS[name](small)
    for i, sample in enumerate(w.samples):
        np.save(os.path.join(folder, f"{name}.{i}.npy"), sample)
    target = os.path.join(folder, name + ".onnx")
    onnx.save(w.model(), target + ".partial")
    os.replace(target + ".partial", target)


def main():
    parser = argparse.ArgumentParser(description="Writes the models of bench/compare.")
    parser.add_argument("--small", action="store_true", help="a few kilobytes each, for tests")
    parser.add_argument("folder")
    parser.add_argument("models", nargs="*", choices=[[], *MODELS], help="all without any")
    arguments = parser.parse_args()
    for name in arguments.models or MODELS:
        write(name, arguments.folder, arguments.small)


if __name__ == "__main__":
    main()
