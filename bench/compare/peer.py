#!/usr/bin/env python3
"""ONNX Runtime or OpenVINO as a process that bench/compare drives; engine.cc is ModelLib's.

    peer.py onnxruntime|openvino prepare MODEL.onnx FOLDER THREADS   does all that can be done ahead, into FOLDER
    peer.py onnxruntime|openvino serve FOLDER THREADS INPUT.npy ...  loads that, and serves

See compare.py for what a server answers.
"""

import json
import os
import sys
import time

import numpy as np


class OnnxRuntime:
    """Optimised ahead, in the format that loads fastest: .ort, used from where its bytes lie. Runs write into outputs that
    stay, as ours do."""

    def __init__(self):
        import onnxruntime

        self.ort = onnxruntime
        self.binding = None

    def options(self):
        options = self.ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = self.ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        return options

    def prepare(self, model, folder, threads):
        options = self.options()
        options.optimized_model_filepath = os.path.join(folder, "model.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        self.ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def load(self, folder, threads):
        options = self.options()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.use_ort_model_bytes_directly", "1")
        # Not ..._for_initializers too: from Python the bytes are a copy that goes, and runs read freed memory.
        with open(os.path.join(folder, "model.ort"), "rb") as file:
            self.bytes = file.read()
        self.session = self.ort.InferenceSession(self.bytes, options, providers=["CPUExecutionProvider"])
        self.names = [value.name for value in self.session.get_inputs()]

    def run(self, inputs):
        if self.binding is None:  # the first run tells the outputs' shapes
            self.outputs = self.session.run(None, dict(zip(self.names, inputs)))
            self.binding = self.session.io_binding()
            for name, value in zip(self.names, inputs):
                self.binding.bind_cpu_input(name, value)
            for info, value in zip(self.session.get_outputs(), self.outputs):
                self.binding.bind_output(info.name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)
        else:
            self.session.run_with_iobinding(self.binding)
        return self.outputs


class OpenVino:
    """Compiled ahead, into the cache that it loads from."""

    def __init__(self):
        import openvino

        self.core = openvino.Core()

    def compile(self, folder, threads):
        return self.core.compile_model(os.path.join(folder, "model.onnx"), "CPU", {
            "CACHE_DIR": folder, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads), "INFERENCE_PRECISION_HINT": "f32"})

    def prepare(self, model, folder, threads):
        link = os.path.join(folder, "model.onnx")
        if not os.path.exists(link):
            os.symlink(os.path.abspath(model), link)
        self.compile(folder, threads)

    def load(self, folder, threads):
        self.request = self.compile(folder, threads).create_infer_request()

    def run(self, inputs):
        results = self.request.infer(inputs, share_inputs=True, share_outputs=True)
        return list(results.values())


ENGINES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def status_kib(key):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))


def milliseconds_since(start):
    return 1e3 * (time.perf_counter() - start)


def serve(engine, folder, threads, paths):
    inputs = [np.load(path) for path in paths]
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak so far is forgotten
    start_up = status_kib("VmRSS")
    start = time.perf_counter()
    engine.load(folder, threads)
    ready = milliseconds_since(start)
    outputs = engine.run(inputs)
    first = milliseconds_since(start)
    print(json.dumps({"start_up_kib": start_up, "ready_ms": ready, "first_ms": first}), flush=True)
    for line in sys.stdin:
        command, argument = line.split()
        if command == "run":
            times = []
            for _ in range(int(argument)):
                start = time.perf_counter()
                outputs = engine.run(inputs)
                times.append(milliseconds_since(start))
            print(json.dumps({"ms": times, "peak_kib": status_kib("VmHWM")}), flush=True)
        elif command == "write":
            for i, output in enumerate(outputs):
                np.save(f"{argument}.{i}.npy", output)
            print("{}", flush=True)


def main():
    engine = ENGINES[sys.argv[1]]()
    if sys.argv[2] == "prepare":
        engine.prepare(sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        serve(engine, sys.argv[3], int(sys.argv[4]), sys.argv[5:])


if __name__ == "__main__":
    main()
