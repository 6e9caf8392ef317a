#!/usr/bin/env python3
"""Writes goldens.json: the tokens that Hugging Face's tokenizer makes of difficult texts, and the similarities that
ONNX Runtime computes for pairs of sentences.

    examples/similarity/goldens.py build/data/models/minilm.onnx build/data/models/minilm_vocab.txt

Needs `tokenizers` (0.23.3), `onnxruntime` (1.32.0) and `numpy`."""

import json
import os
import sys

import numpy as np
import onnxruntime
from tokenizers import BertWordPieceTokenizer

LENGTH = 128
TEXTS = [
    "",
    "   \t\n ",
    "The quick brown fox jumps over the lazy dog.",
    "Don't panic! It's 5:30 p.m., isn't it? (Yes.) <tag> e-mail@example.com $3.50 100% a_b c\\d ~`^|",
    "unaffable antidisestablishmentarianism electroencephalographically",
    "Crème brûlée, naïve façade; Ångström, ŽIŽEK, İstanbul, Straße, ŁÓDŹ, résumé, cafe\u0301 A\u030angstro\u0308m",
    "我爱北京天安门。東京タワー and 서울 mixed漢字text",
    "Привет, МИР! Ёлка и йод. Ελληνικά ΣΊΣΥΦΟΣ. שלום עולם. مرحبا بالعالم",
    "zero\u200bwidth soft\u00adhyphen null\u0000byte bell\u0007 lost\ufffdcharacter b\u0085next",
    "no\u00a0break\u2003em\u3000ideographic\u2028line\u2029paragraph\u000bvertical\u000cfeed\r\nwindows",
    "“curly” ‘quotes’ — dashes – and… ellipsis ¿qué? ¡sí! «guillemets» § ¶ † • ₤ € ¥ ± × ÷",
    "emoji 😀 👩‍👩‍👧 ☃ snow",
    "ＦＵＬＬ ｗｉｄｔｈ ﬁne ligature Ⅷ ½ x² CO₂ ǅ",
    "x" * 100 + " " + "x" * 101 + " " + "é" * 100,
    "Hindi नमस्ते Thai สวัสดี Tamil வணக்கம் Tibetan བོད",
    "[CLS] a [SEP] b [MASK] ##ing ## [UNK]",
    "豈 更 丽 𠀀 㐀",
    " ".join(["word"] * 200),
    "unbelievable " * 63,
]
PAIRS = [
    ("A man is eating food.", "A man is eating a piece of bread."),
    ("A man is eating food.", "The girl is carrying a baby."),
    ("How do I reset my password?", "I forgot my login credentials and need new ones."),
    ("How do I reset my password?", "The weather in Lisbon is warm in May."),
    ("Le café est fermé.", "THE COFFEE SHOP IS CLOSED!"),
    ("ok", "A much longer sentence, which makes sure that the short one beside it is padded and its padding ignored."),
]


def embed(session, tokenizer, sentences):
    encoded = [tokenizer.encode(s) for s in sentences]
    width = max(len(e.ids) for e in encoded)
    ids = np.zeros((len(encoded), width), np.int64)
    mask = np.zeros_like(ids)
    for row, e in enumerate(encoded):
        ids[row, : len(e.ids)] = e.ids
        mask[row, : len(e.ids)] = 1
    outputs = session.run(None, {"input_ids": ids, "attention_mask": mask})
    hidden = next(o for o in outputs if o.ndim == 3)
    mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def main():
    model, vocabulary = sys.argv[1:]
    tokenizer = BertWordPieceTokenizer(vocabulary, lowercase=True)
    tokenizer.enable_truncation(LENGTH)
    # Special tokens in a text are text here: whoever writes "[SEP]" does not end a sentence.
    tokenizer._tokenizer.encode_special_tokens = True
    session = onnxruntime.InferenceSession(model)
    golden = {
        "tokens": [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS],
        "pairs": [],
    }
    for a, b in PAIRS:
        x, y = embed(session, tokenizer, [a, b])
        golden["pairs"].append({"a": a, "b": b, "cosine": round(float(x @ y), 6)})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "goldens.json")
    with open(path, "w", encoding="utf-8") as file:
        parts = [
            f'"{key}": [\n' + ",\n".join("  " + json.dumps(entry) for entry in golden[key]) + "\n]" for key in golden
        ]
        file.write("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
