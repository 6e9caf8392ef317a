#!/usr/bin/env python3
"""Measures the peak memory of a BERT-base training step in PyTorch, eager, on the CPU.

    build/venv-goldens/bin/python bench/peers/bert_memory_torch.py [--batch 4] [--seq 128] [--steps 3]

The model has BERT-base's sizes (Devlin et al. 2018): embeddings of 30,522 words, 512 positions and 2
segments, layer norm, 12 post-norm blocks of 768 with 12 heads and 3,072 inside, gelu; then the pooler (linear and tanh on
the first token) and a linear to 2 classes, cross entropy. Float32, AdamW, dropout 0.1.

Printed, in MiB of 2^20 bytes:

    start-up   resident before the model is made, after PyTorch is imported
    weights    all parameters
    slots      AdamW's two moments
    gradients  as many bytes as the weights; they are NOT deducted
    peak       VmHWM of the process, after all steps
    net peak   peak - start-up - weights - slots: gradients, activations, workspace, and what the allocator wastes
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

WORDS, POSITIONS, SEGMENTS, HIDDEN, HEADS, INNER, LAYERS, CLASSES = 30522, 512, 2, 768, 12, 3072, 12, 2


class Attention(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(HIDDEN, HIDDEN) for _ in range(3))
        self.output = nn.Linear(HIDDEN, HIDDEN)
        self.dropout = dropout

    def forward(self, x):  # [batch, seq, hidden]
        batch, seq, _ = x.shape
        heads = [layer(x).view(batch, seq, HEADS, HIDDEN // HEADS).transpose(1, 2)
                 for layer in (self.query, self.key, self.value)]
        y = F.scaled_dot_product_attention(*heads, dropout_p=self.dropout if self.training else 0.0)
        return self.output(y.transpose(1, 2).reshape(batch, seq, HIDDEN))


class Block(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.attention, self.norm1 = Attention(dropout), nn.LayerNorm(HIDDEN, eps=1e-12)
        self.inner, self.outer = nn.Linear(HIDDEN, INNER), nn.Linear(INNER, HIDDEN)
        self.norm2, self.dropout = nn.LayerNorm(HIDDEN, eps=1e-12), nn.Dropout(dropout)

    def forward(self, x):
        x = self.norm1(x + self.dropout(self.attention(x)))
        return self.norm2(x + self.dropout(self.outer(F.gelu(self.inner(x)))))


class Bert(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.word, self.position = nn.Embedding(WORDS, HIDDEN), nn.Embedding(POSITIONS, HIDDEN)
        self.segment, self.norm = nn.Embedding(SEGMENTS, HIDDEN), nn.LayerNorm(HIDDEN, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(dropout) for _ in range(LAYERS)))
        self.pooler, self.classifier = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, ids, segments):  # [batch, seq] each; logits [batch, classes]
        places = torch.arange(ids.shape[1])
        x = self.norm(self.word(ids) + self.position(places) + self.segment(segments))
        x = self.blocks(self.dropout(x))
        return self.classifier(self.dropout(torch.tanh(self.pooler(x[:, 0]))))


def status_mib(key):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":")) / 1024


def main():
    parser = argparse.ArgumentParser(description="Peak memory of a BERT-base training step in PyTorch.")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--foreach", action="store_true",
                        help="AdamW over all parameters at once; PyTorch's default is not to, on the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    startup = status_mib("VmRSS")
    model = Bert(arguments.dropout).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=arguments.foreach)
    for step in range(arguments.steps):
        ids = torch.randint(WORDS, (arguments.batch, arguments.seq))
        segments = torch.randint(SEGMENTS, (arguments.batch, arguments.seq))
        labels = torch.randint(CLASSES, (arguments.batch,))
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(ids, segments), labels)
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.4f}, peak so far {status_mib('VmHWM'):.0f}")

    weights = sum(value.numel() * value.element_size() for value in model.parameters()) / 2**20
    peak = status_mib("VmHWM")
    print(f"start-up {startup:.0f}, weights {weights:.0f}, slots {2 * weights:.0f}, gradients {weights:.0f}, "
          f"peak {peak:.0f}, net peak {peak - startup - 3 * weights:.0f} MiB")


if __name__ == "__main__":
    main()
