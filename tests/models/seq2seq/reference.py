"""The equations of `Seq2Seq` in torch's own layers, one sequence at a time."""

import torch
from torch import nn


class TorchSeq2Seq(nn.Module):
    """One source and one target, without padding. The parameters have the names of `Seq2Seq`."""

    def __init__(self, sources, targets, embedding, size, cell, attention, coverage, copies):
        super().__init__()
        self.lstm, self.additive, self.copies = cell == "lstm", attention == "additive", copies
        self.source_embedding = nn.Embedding(sources, embedding)
        self.target_embedding = nn.Embedding(targets, embedding)
        layer, step = (nn.LSTM, nn.LSTMCell) if self.lstm else (nn.GRU, nn.GRUCell)
        self.encoder = layer(embedding, size, bidirectional=True)
        self.cell = step(embedding + size, size)
        self.bridges = nn.ModuleList([nn.Linear(2 * size, size) for _ in range(1 + self.lstm)])
        self.attention = nn.Module()
        self.attention.key = nn.Linear(2 * size, size, bias=self.additive)
        if self.additive:
            self.attention.query = nn.Linear(size, size, bias=False)
            self.attention.score = nn.Linear(size, 1, bias=False)
        self.attention.cover = nn.Linear(1, size, bias=False) if coverage else None
        self.output = nn.Linear(3 * size, size)
        self.generator = nn.Linear(size, targets)
        if copies is not None:
            self.gate = nn.Linear(size, 1)

    def forward(self, source, target):
        states, final = self.encoder(self.source_embedding(source))  # (S, 2 H)
        final = final if self.lstm else (final,)
        hidden = [
            torch.tanh(bridge(torch.cat([part[0], part[1]])))
            for bridge, part in zip(self.bridges, final, strict=True)
        ]
        keys = self.attention.key(states)
        o, coverage = torch.zeros_like(hidden[0]), torch.zeros(len(source), dtype=keys.dtype)
        results = []
        for token in [0, *target.tolist()[:-1]]:
            x = torch.cat([self.target_embedding(torch.tensor(token)), o])
            hidden = self.cell(x, tuple(hidden) if self.lstm else hidden[0])
            hidden = hidden if self.lstm else (hidden,)
            h, k = hidden[0], keys
            if self.attention.cover is not None:
                k = keys + self.attention.cover(coverage.unsqueeze(-1))
            if self.additive:
                scores = self.attention.score(torch.tanh(self.attention.query(h) + k)).squeeze(-1)
            else:
                scores = k @ h
            a = scores.softmax(0)
            coverage = coverage + a
            o = torch.tanh(self.output(torch.cat([a @ states, h])))
            p = self.generator(o).softmax(0)
            if self.copies is not None:
                g = self.gate(o).sigmoid()
                ids = torch.tensor([self.copies[i] for i in source.tolist()])
                q, lost = torch.zeros_like(p), torch.zeros(())
                for i, weight in zip(ids.tolist(), a, strict=True):
                    if i:
                        q = q + weight * nn.functional.one_hot(torch.tensor(i), len(p))
                    else:  # what cannot be copied is generated
                        lost = lost + weight
                p = (g + (1 - g) * lost) * p + (1 - g) * q
            results.append(p.log())
        return torch.stack(results)
