#!/usr/bin/env python3
"""Trains the digit classifier in PyTorch and writes its accuracies to mnist_accuracy.json.

    tools/data/mnist.py && build/venv-goldens/bin/python tests/goldens/mnist_accuracy.py

The model is the SimpleNet that quickstart trains: 784-256-256-10, relu, dropout 0.5 after each of
the two hidden layers, PyTorch's default initialisation. Adam with 1e-3, batches of 32, shuffled
anew each epoch, cross entropy, 30 epochs. Of each run the accuracy on the 1,000 validation digits
after the last epoch counts; no epoch and no seed is selected. Takes about a minute.
"""

import json
import pathlib

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "build" / "data" / "mnist"
SEEDS = [0, 1, 2, 3, 4]
EPOCHS, BATCH, LEARNING_RATE, DROPOUT = 30, 32, 1e-3, 0.5


def load(split):
    images = np.load(DATA / f"{split}_images.npy").astype(np.float32) / 255.0
    return torch.from_numpy(images), torch.from_numpy(np.load(DATA / f"{split}_labels.npy"))


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        return (model(images).argmax(dim=1) == labels).double().mean().item()


def train(seed):
    """Returns the validation accuracy after each epoch."""
    torch.manual_seed(seed)
    images, labels = load("train")
    validation = load("validation")
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Dropout(DROPOUT),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(DROPOUT),
        nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    history = []
    for _ in range(EPOCHS):
        model.train()
        for batch in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        history.append(accuracy(model, *validation))
    return history


def main():
    torch.set_num_threads(1)
    histories = [train(seed) for seed in SEEDS]
    last = [history[-1] for history in histories]
    golden = {
        "torch": torch.__version__,
        "model": "784-256-256-10, relu, dropout after each hidden layer",
        "epochs": EPOCHS, "batch": BATCH, "dropout": DROPOUT,
        "optimizer": "adam", "learning_rate": LEARNING_RATE,
        "seeds": SEEDS,
        "validation_accuracy_last_epoch": [round(value, 4) for value in last],
        "mean": round(sum(last) / len(last), 5),
        "mean_after_10_epochs": round(sum(history[9] for history in histories) / len(SEEDS), 5),
    }
    (HERE / "mnist_accuracy.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(f"mean accuracy {golden['mean']:.4f} of {golden['validation_accuracy_last_epoch']}")


if __name__ == "__main__":
    main()
