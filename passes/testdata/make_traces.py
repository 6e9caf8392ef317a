#!/usr/bin/env python3
"""Writes the traces beside it: python3 make_traces.py.

Each line is a record of the memory planner: id size alignment first last alias_of alias_offset arena
name. A trace is made by running a list of operations: an operation writes one buffer and reads
others; a buffer lives from the operation that writes it to the last that reads it.
"""

import os

HERE = os.path.dirname(os.path.abspath(__file__))


class Trace:
    def __init__(self):
        self.records = []
        self.step = 0

    def op(self, name, reads, size, alias=None, offset=0, arena=0, alignment=64):
        for r in reads:
            self.records[r]["last"] = self.step
        index = len(self.records)
        self.records.append(
            dict(size=size, first=self.step, last=self.step, alias=alias, offset=offset,
                 arena=arena, name=name, alignment=1 if alias is not None else alignment))
        self.step += 1
        return index

    def write(self, file, comment):
        with open(os.path.join(HERE, file + ".trace"), "w") as out:
            out.write("# " + comment + "\n")
            out.write("# id size alignment first last alias_of alias_offset arena name\n")
            for i, r in enumerate(self.records):
                alias = -1 if r["alias"] is None else r["alias"]
                out.write(f"{i} {r['size']} {r['alignment']} {r['first']} {r['last']} {alias} "
                          f"{r['offset']} {r['arena']} {r['name']}\n")


class Net(Trace):
    """Operations with their gradients; each weight's gradient is used at once by its update."""

    def __init__(self):
        super().__init__()
        self.tape = []
        self.grads = {}

    def layer(self, name, reads, size, weight=0, saves=None):
        out = self.op(name, reads, size)
        self.tape.append((name, reads, out, weight, reads if saves is None else saves))
        return out

    def give(self, to, grad):
        if to in self.grads:
            # Summed in place into the first one.
            self.grads[to] = self.op("sum", [self.grads[to], grad], self.records[to]["size"],
                                     alias=self.grads[to])
        else:
            self.grads[to] = grad

    def backward(self, loss, inputs):
        self.grads[loss] = self.op("loss.grad", [loss], self.records[loss]["size"])
        for name, reads, out, weight, saved in reversed(self.tape):
            dy = self.grads[out]
            if weight:
                dw = self.op(name + ".dw", saved + [dy], weight)
                self.op(name + ".update", [dw], 0)
            for r in reads:
                if r not in inputs:
                    self.give(r, self.op(name + ".dx", saved + [dy], self.records[r]["size"]))


def resnet18(batch=8):
    net = Net()
    f = 4 * batch
    x = net.op("image", [], f * 3 * 224 * 224)
    image = x

    def conv(x, i, o, k, e):
        y = net.layer("conv", [x], f * o * e * e, 4 * i * o * k * k)
        return net.layer("norm", [y], f * o * e * e, 8 * o)

    def relu(x):
        out = net.op("relu", [x], net.records[x]["size"])
        net.tape.append(("relu", [x], out, 0, [out]))
        return out

    x = relu(conv(x, 3, 64, 7, 112))
    x = net.layer("pool", [x], f * 64 * 56 * 56)
    width, extent = 64, 56
    for stage in range(4):
        for block in range(2):
            o = 64 << stage
            down = stage > 0 and block == 0
            if down:
                extent //= 2
            y = relu(conv(x, width, o, 3, extent))
            y = conv(y, o, o, 3, extent)
            if down:
                x = conv(x, width, o, 1, extent)
            x = relu(net.layer("add", [y, x], f * o * extent * extent, saves=[]))
            width = o
    x = net.layer("mean", [x], f * 512, saves=[])
    x = net.layer("fc", [x], f * 1000, 4 * 512 * 1000)
    net.backward(x, {image})
    net.write("resnet18_training", "ResNet-18, training step, batch 8, 224 x 224")


def transformer_block(batch=4, seq=128, width=768, heads=12):
    net = Net()
    hidden = 4 * batch * seq * width
    x = net.op("input", [], hidden)
    first = x
    for _ in range(2):
        y = net.layer("norm", [x], hidden, 8 * width)
        q, k, v = (net.layer(n, [y], hidden, 4 * width * width) for n in "qkv")
        s = net.layer("scores", [q, k], 4 * batch * heads * seq * seq)
        p = net.layer("softmax", [s], 4 * batch * heads * seq * seq)
        c = net.layer("context", [p, v], hidden)
        o = net.layer("out", [c], hidden, 4 * width * width)
        x = net.layer("add", [x, o], hidden, saves=[])
        y = net.layer("norm", [x], hidden, 8 * width)
        y = net.layer("up", [y], 4 * hidden, 16 * width * width)
        y = net.layer("gelu", [y], 4 * hidden)
        y = net.layer("down", [y], hidden, 16 * width * width)
        x = net.layer("add", [x, y], hidden, saves=[])
    net.backward(x, {first})
    net.write("transformer_block_training", "Two transformer blocks, training step, batch 4, 128 tokens")


def unet():
    t = Trace()
    size = lambda channels, extent: 4 * channels * extent * extent
    x = t.op("image", [], size(3, 256))
    skips = []
    for level in range(4):
        c, e = 64 << level, 256 >> level
        x = t.op("conv", [x], size(c, e))
        # The second convolution writes its half of the concatenation on the way up.
        whole = t.op("concat", [], size(2 * c, e))
        x = t.op("conv", [x], size(c, e), alias=whole)
        skips.append((whole, x, c, e))
        x = t.op("pool", [x], size(c, e // 2))
    x = t.op("conv", [x], size(1024, 16))
    x = t.op("conv", [x], size(1024, 16))
    for whole, skip, c, e in reversed(skips):
        t.op("up", [x], size(c, e), alias=whole, offset=size(c, e))
        x = t.op("conv", [whole, skip], size(c, e))
        x = t.op("conv", [x], size(c, e))
    t.op("head", [x], size(1, 256))
    t.write("unet_inference", "UNet, inference, 256 x 256, skips written into their slots")


def lstm(batch=8, width=512, steps=24):
    net = Net()
    state = 4 * batch * width
    h = net.op("h0", [], state)
    c = net.op("c0", [], state)
    start = {h, c}
    for _ in range(steps):
        gates = net.layer("gates", [h], 4 * state)
        c = net.layer("cell", [gates, c], state)
        h = net.layer("hidden", [gates, c], state)
    y = net.layer("head", [h], 4 * batch * 100, 4 * width * 100)
    net.backward(y, start)
    net.write("lstm_training", "LSTM, 24 steps, training, batch 8")


def fragmenting():
    # Pairs of a long and a short buffer: who places the short ones low leaves holes.
    t = Trace()
    longs = []
    for i in range(24):
        shorter = t.op(f"short{i}", [], 64 * (7 + 5 * i % 11))
        longs.append(t.op(f"long{i}", [shorter], 64 * (3 + 7 * i % 13)))
    for i, b in enumerate(longs):
        t.op(f"out{i}", [b], 64 * (2 + 3 * i % 5))
    t.write("fragmenting", "A long buffer beside each short one")


def two_lanes():
    t = Trace()
    previous = None
    for i in range(12):
        grad = t.op(f"grad{i}", [] if previous is None else [previous], 64 * 100)
        bucket = t.op(f"bucket{i}", [grad], 64 * 100, arena=1)
        t.op(f"reduced{i}", [bucket], 64 * 100, alias=bucket, arena=1)
        previous = grad
    t.write("two_lanes", "Gradients in the arena of compute, buckets in that of the collectives")


resnet18()
transformer_block()
unet()
lstm()
fragmenting()
two_lanes()
