"""What picks, places and moves elements: indexing, joining, padding, transposing."""

import torch
import torch.nn.functional as F

from .recorder import Recorder, given, integer, real


def indexing():
    gather = Recorder("gather", "torch.gather")
    for dim, shape in ((0, (2, 4)), (1, (3, 2)), (-1, (3, 6))):
        gather.case(f"dim_{dim}", lambda t, d=dim: torch.gather(t["x"], d, t["index"]),
                    [real("x", (3, 4)), integer("index", shape, 3)], {"dim": dim})
    gather.case("repeated", lambda t: torch.gather(t["x"], 1, t["index"]),
                [real("x", (2, 3)), given("index", [[1, 1, 1], [0, 2, 0]], torch.int64)], {"dim": 1})

    select = Recorder("index_select", "torch.index_select")
    for dim in (0, 1, 2):
        select.case(f"dim_{dim}", lambda t, d=dim: torch.index_select(t["x"], d, t["index"]),
                    [real("x", (3, 4, 2)), given("index", [1, 0, 1], torch.int64)], {"dim": dim})

    scatter_add = Recorder("scatter_add", "torch.scatter_add")
    for dim in (0, 1):
        scatter_add.case(f"dim_{dim}", lambda t, d=dim: torch.scatter_add(t["x"], d, t["index"], t["src"]),
                         [real("x", (3, 4)), integer("index", (2, 3), 3), real("src", (2, 3))], {"dim": dim})
    index_add = Recorder("index_add", "torch.index_add")
    index_add.case("repeated_rows", lambda t: torch.index_add(t["x"], 0, t["index"], t["source"]),
                   [real("x", (4, 3)), given("index", [2, 0, 2], torch.int64), real("source", (3, 3))],
                   {"dim": 0})

    embedding = Recorder("embedding", "torch.nn.functional.embedding")
    indices = given("indices", [[0, 3, 3], [4, 1, 0]], torch.int64)
    embedding.case("plain", lambda t: F.embedding(t["indices"], t["weight"]),
                   [indices, real("weight", (5, 3))])
    # The padding row's values are used; it only gets no gradient.
    embedding.case("padding", lambda t: F.embedding(t["indices"], t["weight"], padding_idx=3),
                   [indices, real("weight", (5, 3))], {"padding_idx": 3})

    onehot = Recorder("one_hot", "torch.nn.functional.one_hot")
    onehot.case("plain", lambda t: F.one_hot(t["indices"], 5), [indices], {"num_classes": 5})
    topk = Recorder("topk", "torch.topk")
    for largest in (True, False):
        topk.case("largest" if largest else "smallest",
                  lambda t, b=largest: tuple(torch.topk(t["x"], 2, -1, b, True)),
                  [given("x", [[1.0, 5.0, -2.0, 4.0], [0.5, 0.25, 3.0, -1.0]])],
                  {"k": 2, "dim": -1, "largest": largest, "sorted": True}, outputs=("values", "indices"))


def joining():
    concat = Recorder("concat", "torch.cat")
    for dim in (0, 1, -1):
        shapes = [[2, 3], [2, 3], [2, 3]]
        for index, extent in enumerate((1, 3, 2)):
            shapes[index][dim] = extent
        concat.case(f"dim_{dim}", lambda t, d=dim: torch.cat([t["a"], t["b"], t["c"]], d),
                    [real(name, tuple(shape)) for name, shape in zip("abc", shapes)], {"dim": dim})
    stack = Recorder("stack", "torch.stack")
    for dim in (0, 1, -1):
        stack.case(f"dim_{dim}", lambda t, d=dim: torch.stack([t["a"], t["b"]], d),
                   [real("a", (2, 3)), real("b", (2, 3))], {"dim": dim})
    split = Recorder("split", "torch.split")
    split.case("sections", lambda t: tuple(torch.split(t["x"], [1, 3, 2], 1)), [real("x", (2, 6))],
               {"sections": [1, 3, 2], "dim": 1}, outputs=("y0", "y1", "y2"))


def viewing():
    cut = Recorder("slice", "x[..., start:stop:step, ...]")
    for name, dim, start, stop, step in (("rows", 0, 1, 3, 1), ("strided", 1, 0, 6, 2), ("odd_step", 1, 1, 6, 3),
                                         ("from_end", 1, -4, -1, 1)):
        def call(t, d=dim, part=slice(start, stop, step)):
            return t["x"][(slice(None),) * d + (part,)]
        cut.case(name, call, [real("x", (4, 6))], {"dim": dim, "start": start, "stop": stop, "step": step})

    pad = Recorder("pad", "torch.nn.functional.pad")
    # The pairs go from the last axis backwards, as PyTorch has it.
    for name, mode, pads, value in (("constant", "constant", [1, 2], 0.0), ("value", "constant", [1, 0, 2, 1], 1.5),
                                    ("crop", "constant", [-1, 2], 0.0), ("reflect", "reflect", [2, 1], None),
                                    ("replicate", "replicate", [1, 2], None), ("circular", "circular", [2, 1], None)):
        attrs = {"pad": pads, "mode": mode} | ({} if value is None else {"value": value})
        pad.case(name, lambda t, p=pads, m=mode, v=value: F.pad(t["x"], p, m, v), [real("x", (1, 2, 4))], attrs)

    flip = Recorder("flip", "torch.flip")
    for name, dims in (("first", [0]), ("two", [0, 2])):
        flip.case(name, lambda t, d=dims: torch.flip(t["x"], d), [real("x", (2, 3, 2))], {"dims": dims})
    transpose = Recorder("transpose", "torch.permute")
    for name, dims in (("swap_last", [0, 2, 1]), ("rotate", [2, 0, 1]), ("reverse", [2, 1, 0])):
        transpose.case(name, lambda t, d=dims: torch.permute(t["x"], d), [real("x", (2, 3, 4))], {"dims": dims})
    expand = Recorder("expand", "torch.Tensor.expand")
    for name, shape, size in (("inner", (2, 1, 3), [2, 4, 3]), ("new_axis", (3,), [2, 3]), ("scalar", (), [2, 2])):
        expand.case(name, lambda t, s=size: t["x"].expand(s), [real("x", shape)], {"size": size})
    tile = Recorder("tile", "torch.tile")
    tile.case("two_axes", lambda t: torch.tile(t["x"], (2, 3)), [real("x", (2, 2))], {"dims": [2, 3]})
    repeat = Recorder("repeat_interleave", "torch.repeat_interleave, axis by axis, and interpolate(mode=nearest)")
    def repeated(t, repeats):
        x = t["x"]
        for dim, times in enumerate(repeats):
            x = torch.repeat_interleave(x, times, dim)
        return x
    for name, shape, repeats in (("rows", (3, 2), [2, 1]), ("both", (2, 3), [3, 2]), ("batch", (2, 1, 2), [2, 1, 2])):
        repeat.case(name, lambda t, r=repeats: repeated(t, r), [real("x", shape)], {"repeats": repeats})
    for name, shape, scale in (("sequence", (2, 2, 3), [3]), ("image", (1, 2, 2, 3), [2, 4]),
                               ("volume", (1, 1, 2, 1, 2), [2, 3, 1])):
        repeat.case(name, lambda t, s=scale: F.interpolate(t["x"], scale_factor=s, mode="nearest"),
                    [real("x", shape)], {"repeats": [1, 1, *scale]})
    reshape = Recorder("reshape", "torch.reshape")
    for name, shape in (("plain", [2, 6]), ("inferred", [2, -1, 2]), ("flat", [-1])):
        reshape.case(name, lambda t, s=shape: torch.reshape(t["x"], s), [real("x", (4, 3))], {"shape": shape})
    for op in ("tril", "triu"):
        fn = getattr(torch, op)
        recorder = Recorder(op, f"torch.{op}")
        for diagonal in (-1, 0, 1):
            recorder.case(f"diagonal_{diagonal}", lambda t, fn=fn, d=diagonal: fn(t["x"], d), [real("x", (3, 4))],
                          {"diagonal": diagonal})


def record():
    indexing()
    joining()
    viewing()
