"""An example for analysis/dump_activations.py. Such a file has a function that returns a network and its data.

    /usr/bin/python3 analysis/dump_activations.py analysis/examples/transformer.py:build --to transformer.h5

The network is a transformer with two layers. Its samples are sequences of 12 symbols; the class of a sequence is its
commonest symbol (the first of equals). The tokens (N, T, C) of a layer are stored as (N, 1, T, C), so each token is a
position, like a pixel of an image.
"""
import torch
from torch import nn

SYMBOLS, LENGTH, WIDTH, SAMPLES = 8, 12, 32, 512


class Block(nn.Module):
    """Embedding, two encoder layers and a linear classifier on the mean token."""

    def __init__(self, classes):
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        layers = [nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, batch_first=True) for _ in range(2)]
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, symbols):
        return self.head(self.encoder(self.embed(symbols) + self.place).mean(dim=1))


def build():
    """The model with random weights, and a loader that always gives the same samples in the same order."""
    generator = torch.Generator().manual_seed(1)
    symbols = torch.randint(SYMBOLS, (SAMPLES, LENGTH), generator=generator)
    labels = nn.functional.one_hot(symbols, SYMBOLS).sum(dim=1).argmax(dim=1)
    torch.manual_seed(1)
    model = Block(SYMBOLS)
    return model, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(symbols, labels), batch_size=64)
