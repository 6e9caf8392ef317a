#!/usr/bin/env python3
"""Writes op_versions.tsv: the versions of every op of ai.onnx, from the schemas of the PyPI package onnx (1.23.2)."""

import collections
import os

import onnx.defs

versions = collections.defaultdict(set)
for schema in onnx.defs.get_all_schemas_with_history():
    if schema.domain == "":
        versions[schema.name].add(schema.since_version)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "op_versions.tsv")
with open(path, "w", encoding="ascii") as file:
    for name in sorted(versions):
        file.write(name + "\t" + ",".join(str(v) for v in sorted(versions[name])) + "\n")
