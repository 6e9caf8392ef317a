#!/usr/bin/env python3
"""Deterministic tensors for the goldens; formula.md says how, formula.h is the same in C++.

Run as a program it prints the table of values that formula.md shows and formula_test.cc checks.
"""

import math

import numpy as np


def _mix(z):
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def bits(seed, tensor, count):
    """The hashes of elements 0 to count - 1, as u64."""
    elements = np.arange(count, dtype=np.uint64)
    key = _mix(_mix(np.array([seed], dtype=np.uint64)) ^ np.uint64(tensor))
    return _mix(key ^ elements)


def uniform(seed, tensor, shape, scale=1.0, offset=0.0):
    """f32 array with values in [offset - scale, offset + scale]; scale is a power of two, offset may be an array."""
    if math.frexp(scale)[0] != 0.5:
        raise ValueError(f"scale {scale} is not a power of two")
    unit = (bits(seed, tensor, math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (offset + scale * (2.0 * unit - 1.0)).astype(np.float32).reshape(shape)


def integer(seed, tensor, shape, n):
    """i64 array with values from 0 to n - 1."""
    return (bits(seed, tensor, math.prod(shape)) % np.uint64(n)).astype(np.int64).reshape(shape)


def main():
    for seed, tensor, element in [(0, 0, 0), (1, 2, 3), (2**64 - 1, 7, 2**20)]:
        value = bits(seed, tensor, element + 1)[element]
        print(f"| bits({seed}, {tensor}, {element}) | 0x{value:016X} |")
    for seed, tensor, element, scale, offset in [(0, 0, 0, 1, 0), (1, 2, 3, 0.25, 0), (5, 1, 9, 0.5, 1)]:
        value = uniform(seed, tensor, (element + 1,), scale, offset)[element]
        print(f"| uniform({seed}, {tensor}, {element}, {scale}, {offset}) | {value:.9g} |")
    print(f"| integer(3, 4, 5, 10) | {integer(3, 4, (6,), 10)[5]} |")


if __name__ == "__main__":
    main()
