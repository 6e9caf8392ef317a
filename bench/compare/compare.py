#!/usr/bin/env python3
"""Measures ModelLib beside ONNX Runtime and OpenVINO. Started by bench/compare/compare, which makes what it needs.

Each engine is a process of its own that has loaded what was compiled ahead (our plan, ONNX Runtime's .ort, OpenVINO's
cache). The processes stay, and take turns: of a round, each runs the model k times, and its median counts. A round
gives one ratio of ours to each peer's; what is reported is the median of these ratios, against the peer that is faster.

Memory is the peak of the process after these runs, less what it held before it began to load. Load times are those of
fresh processes, the files being in the page cache: until the engine is ready, and until it has given its first output.

A server (engine.cc, peer.py) prints {"start_up_kib", "ready_ms", "first_ms"} once it has run, and then answers "run K"
with {"ms": [...], "peak_kib"} and "write PREFIX" with {} once output N is in PREFIX.N.npy.
"""

import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

import models

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "compare")
BINARIES = os.path.join(ROOT, "bazel-bin")
OURS, PEERS = "modellib", ("onnxruntime", "openvino")
ENGINES = (OURS, *PEERS)
BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
TURN_MS = 250  # how long an engine's turn is to be
PAUSE = 0.03  # seconds between turns: what the last engine's threads may go on spinning


# What is compiled ahead.

def digest(*paths):
    state = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
    return state.hexdigest()


def once(folder, stamp, make):
    """Calls make(folder) unless it did so before for the same stamp."""
    path = os.path.join(folder, "stamp")
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            if file.read() == stamp:
                return
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    make(folder)
    with open(path, "w", encoding="ascii") as file:
        file.write(stamp)


def prepare(name, threads):
    """The command that serves the model, by engine."""
    folder = os.path.join(BUILD, name)
    source = os.path.join(folder, "onnx")
    model = os.path.join(source, name + ".onnx")
    stamp = digest(os.path.join(HERE, "models.py"), os.path.join(HERE, "requirements.txt"))
    once(source, stamp, lambda out: models.write(name, out))
    inputs = sorted(glob.glob(os.path.join(source, name + ".*.npy")))

    compiler = os.path.join(BINARIES, "frontends", "cli", "modellib")
    plan = os.path.join(folder, OURS, "plan.mlplan")

    def compile_plan(_):
        subprocess.run([compiler, "compile", model, "-o", plan], check=True)
        described = json.loads(subprocess.run([compiler, "inspect", plan, "--json"], check=True, capture_output=True).stdout)
        if any(entry["steps_on_plain_kernels"] != 0 for entry in described["entries"]):
            raise RuntimeError(f"{name}: there are steps on plain kernels")

    once(os.path.join(folder, OURS), digest(compiler) + stamp, compile_plan)
    commands = {OURS: [os.path.join(BINARIES, "bench", "compare", "engine"), plan]}
    peer = [sys.executable, os.path.join(HERE, "peer.py")]
    for engine in PEERS:
        ahead = os.path.join(folder, engine)
        once(ahead, digest(os.path.join(HERE, "peer.py")) + stamp + str(threads),
             lambda out, engine=engine: subprocess.run(
                 [*peer, engine, "prepare", model, out, str(threads)], check=True))
        commands[engine] = [*peer, engine, "serve", ahead]
    return {engine: [*command, str(threads), *inputs] for engine, command in commands.items()}


# Measuring.

class Server:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.loaded = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.process.args)} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def check_agreement(name, servers):
    """Fails unless all outputs are equal within rtol 1e-3 and 1e-4 of the largest magnitude."""
    found = {}
    for engine, server in servers.items():
        prefix = os.path.join(BUILD, name, engine, "output")
        server.ask("write " + prefix)
        found[engine] = [np.load(path) for path in sorted(glob.glob(prefix + ".*.npy"))]
    for engine in (OURS, PEERS[1]):
        for expected, actual in zip(found[PEERS[0]], found[engine], strict=True):
            scale = float(np.abs(expected).max())
            if scale == 0 or not np.isfinite(expected).all():
                raise RuntimeError(f"{name}: the outputs show nothing")
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4 * scale,
                                       err_msg=f"{name}: {engine} differs from {PEERS[0]}")


def median_ratios(turns):
    """By peer, the median over the rounds of our time by the peer's; turns: by engine, a time of each round."""
    return {peer: statistics.median(ours / theirs for ours, theirs in zip(turns[OURS], turns[peer], strict=True))
            for peer in PEERS}


def smaller(values):
    return min(values[peer] for peer in PEERS)


def measure(name, threads, pairs):
    commands = prepare(name, threads)
    loads = {engine: [] for engine in ENGINES}
    for command in commands.values():  # into the page cache
        Server(command).__exit__()
    for _ in range(5):
        for engine, command in commands.items():
            with Server(command) as server:
                loads[engine].append(server.loaded)

    servers = {engine: Server(command) for engine, command in commands.items()}
    check_agreement(name, servers)
    runs = {}
    for engine, server in servers.items():
        server.ask("run 2")
        runs[engine] = max(3, round(TURN_MS / min(server.ask("run 3")["ms"])))
    turns = {engine: [] for engine in ENGINES}
    for round_ in range(pairs):
        for i in range(len(ENGINES)):
            engine = ENGINES[(round_ + i) % len(ENGINES)]
            time.sleep(PAUSE)
            turns[engine].append(statistics.median(servers[engine].ask(f"run {runs[engine]}")["ms"]))
    memory = {}
    for engine, server in servers.items():
        memory[engine] = (server.ask("run 1")["peak_kib"] - server.loaded["start_up_kib"]) / 1024
        server.__exit__()

    ratios = median_ratios(turns)
    ready, first = ({engine: statistics.median(load[key] for load in loads[engine]) for engine in ENGINES}
                    for key in ("ready_ms", "first_ms"))
    milliseconds = {engine: statistics.median(times) for engine, times in turns.items()}
    return {
        "model": name, "ms": milliseconds, "peak_mib": memory, "ready_ms": ready, "first_ms": first,
        "ratio": max(ratios.values()), "ratios": ratios,
        "memory_ratio": memory[OURS] / smaller(memory),
        "ready_ratio": ready[OURS] / smaller(ready), "first_ratio": first[OURS] / smaller(first),
    }


# Telling.

def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*: (.*)", file.read())
    return found.group(1).strip() if found else "unknown CPU"


def versions():
    with open(os.path.join(HERE, "requirements.txt"), encoding="ascii") as file:
        pinned = dict(re.findall(r"^(\w+)==(\S+)", file.read(), re.MULTILINE))
    return f"ONNX Runtime {pinned['onnxruntime']}, OpenVINO {pinned['openvino']}"


def table(results, threads, pairs):
    def values(result, key, digits):
        return " / ".join(f"{result[key][engine]:.{digits}f}" for engine in ENGINES)

    lines = [
        f"{cpu_name()}, {threads} threads, f32; {versions()}; {pairs} rounds, {time.strftime('%Y-%m-%d')}. Figures are "
        "ours / ONNX Runtime's / OpenVINO's, ratios ours by that of the better peer; of run times the median of the "
        "rounds' ratios.",
        "",
        "| | run, ms | ratio | peak memory, MiB | ratio | ready, ms | ratio | first output, ms | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    keys = ("ratio", "memory_ratio", "ready_ratio", "first_ratio")
    for r in results:
        cells = [r["model"], values(r, "ms", 2), f"{r['ratio']:.2f}", values(r, "peak_mib", 1),
                 f"{r['memory_ratio']:.2f}", values(r, "ready_ms", 1), f"{r['ready_ratio']:.2f}",
                 values(r, "first_ms", 1), f"{r['first_ratio']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    means = [f"**{statistics.geometric_mean(r[key] for r in results):.2f}**" for key in keys]
    lines.append("| geometric mean | | " + " | | ".join(means) + " |")
    return "\n".join(lines)


def put_between_markers(text, content):
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"docs/performance.md lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def main():
    parser = argparse.ArgumentParser(prog="bench/compare/compare",
                                     description="Measures ModelLib beside ONNX Runtime and OpenVINO.")
    parser.add_argument("--models", nargs="+", choices=models.MODELS, default=list(models.MODELS))
    parser.add_argument("--pairs", type=int, default=9, help="rounds; at least 7 for figures to be told")
    parser.add_argument("--threads", type=int, default=2, help="of each engine")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.write and (arguments.pairs < 7 or set(arguments.models) != set(models.MODELS)):
        parser.error("--write is for all models and at least 7 pairs")

    results = []
    for name in arguments.models:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        results.append(measure(name, arguments.threads, arguments.pairs))
    text = table(results, arguments.threads, arguments.pairs)
    print(json.dumps(results, indent=2) if arguments.json else text)
    if arguments.write:
        path = os.path.join(ROOT, "docs", "performance.md")
        with open(path, encoding="utf-8") as file:
            document = put_between_markers(file.read(), text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(document)


if __name__ == "__main__":
    main()
