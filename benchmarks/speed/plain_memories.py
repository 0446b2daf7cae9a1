"""The Neural Turing Machine and the DNC as plain loops over sequences, steps and heads.

Baseline of the speed benchmark, written like the papers and well-known implementations, with a
linear layer for each quantity of a head, and the state in attributes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainHead(nn.Module):
    """One head of a Neural Turing Machine, with a linear layer for each of its quantities."""

    def __init__(self, hidden: int, slots: int, slot_size: int, writes: bool) -> None:
        super().__init__()
        self.key, self.strength = nn.Linear(hidden, slot_size), nn.Linear(hidden, 1)
        self.gate, self.shift = nn.Linear(hidden, 1), nn.Linear(hidden, 3)
        self.exponent = nn.Linear(hidden, 1)
        self.erase = nn.Linear(hidden, slot_size) if writes else None
        self.add = nn.Linear(hidden, slot_size) if writes else None
        self.first = nn.Parameter(torch.randn(slots) / 10)

    def address(self, h: Tensor, memory: Tensor, before: Tensor) -> Tensor:
        similar = F.cosine_similarity(memory + 1e-16, torch.tanh(self.key(h)).unsqueeze(0), dim=-1)
        content = torch.softmax(F.softplus(self.strength(h)) * similar, -1)
        gate = torch.sigmoid(self.gate(h))
        gated = gate * content + (1 - gate) * before
        shift = torch.softmax(self.shift(h), -1)
        ring = torch.cat([gated[-1:], gated, gated[:1]])
        shifted = F.conv1d(ring.view(1, 1, -1), shift.flip(-1).view(1, 1, -1)).view(-1)
        powers = shifted ** (1 + F.softplus(self.exponent(h)))
        return powers / (powers.sum() + 1e-16)


class PlainNTM(nn.Module):
    """A Neural Turing Machine with an LSTM controller, read heads and a write head."""

    def __init__(
        self, inputs: int, outputs: int, hidden: int, slots: int, slot_size: int, heads: int = 1
    ) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(inputs + heads * slot_size, hidden)
        self.readers = nn.ModuleList(
            PlainHead(hidden, slots, slot_size, False) for _ in range(heads)
        )
        self.writers = nn.ModuleList([PlainHead(hidden, slots, slot_size, True)])
        self.output = nn.Linear(hidden + heads * slot_size, outputs)
        self.slots, self.slot_size, self.hidden = slots, slot_size, hidden

    def sequence(self, x: Tensor) -> Tensor:
        self.memory = x.new_full((self.slots, self.slot_size), 1e-6)
        self.reads = [x.new_zeros(self.slot_size) for _ in self.readers]
        self.weights = [torch.softmax(h.first, -1) for h in (*self.readers, *self.writers)]
        state = (x.new_zeros(1, self.hidden), x.new_zeros(1, self.hidden))
        outputs = []
        for step in x:
            state = self.cell(torch.cat([step, *self.reads]).unsqueeze(0), state)
            h = state[0].squeeze(0)
            for i, head in enumerate(self.readers):
                self.weights[i] = head.address(h, self.memory, self.weights[i])
                self.reads[i] = self.weights[i] @ self.memory
            for i, head in enumerate(self.writers, len(self.readers)):
                self.weights[i] = head.address(h, self.memory, self.weights[i])
                erase, add = torch.sigmoid(head.erase(h)), torch.tanh(head.add(h))
                self.memory = self.memory * (1 - torch.outer(self.weights[i], erase))
                self.memory = self.memory + torch.outer(self.weights[i], add)
            outputs.append(self.output(torch.cat([h, *self.reads])))
        return torch.stack(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.sequence(one) for one in x])


class PlainDNC(nn.Module):
    """A differentiable neural computer with an LSTM controller."""

    def __init__(
        self, inputs: int, outputs: int, hidden: int, slots: int, slot_size: int, heads: int = 1
    ) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(inputs + heads * slot_size, hidden)
        self.read_keys = nn.Linear(hidden, heads * slot_size)
        self.read_strengths, self.modes = nn.Linear(hidden, heads), nn.Linear(hidden, 3 * heads)
        self.write_key, self.write_strength = nn.Linear(hidden, slot_size), nn.Linear(hidden, 1)
        self.erase, self.vector = nn.Linear(hidden, slot_size), nn.Linear(hidden, slot_size)
        self.free, self.gates = nn.Linear(hidden, heads), nn.Linear(hidden, 2)
        self.output = nn.Linear(hidden + heads * slot_size, outputs)
        self.slots, self.slot_size, self.hidden, self.heads = slots, slot_size, hidden, heads

    def content(self, key: Tensor, strength: Tensor) -> Tensor:
        similar = F.cosine_similarity(self.memory + 1e-16, key.unsqueeze(0), dim=-1)
        return torch.softmax((1 + F.softplus(strength)) * similar, -1)

    def sequence(self, x: Tensor) -> Tensor:
        slots, heads = self.slots, range(self.heads)
        self.memory, links = x.new_zeros(slots, self.slot_size), x.new_zeros(slots, slots)
        usage, precedence, writes = x.new_zeros(slots), x.new_zeros(slots), x.new_zeros(slots)
        weights = [x.new_zeros(slots) for _ in heads]
        reads = [x.new_zeros(self.slot_size) for _ in heads]
        state = (x.new_zeros(1, self.hidden), x.new_zeros(1, self.hidden))
        off_diagonal = 1 - torch.eye(slots)
        outputs = []
        for step in x:
            state = self.cell(torch.cat([step, *reads]).unsqueeze(0), state)
            h = state[0].squeeze(0)
            keys = self.read_keys(h).view(self.heads, -1)
            strengths, free = self.read_strengths(h), torch.sigmoid(self.free(h))
            modes = torch.softmax(self.modes(h).view(self.heads, 3), -1)
            writing, allocating = torch.sigmoid(self.gates(h))
            usage = usage + writes - usage * writes
            for i in heads:
                usage = usage * (1 - free[i] * weights[i])
            usage = 1e-6 + (1 - 1e-6) * usage
            ascending, order = torch.sort(usage)
            below = torch.cat([x.new_ones(1), torch.cumprod(ascending, 0)[:-1]])
            allocation = ((1 - ascending) * below)[torch.argsort(order)]
            content = self.content(self.write_key(h), self.write_strength(h))
            writes = writing * (allocating * allocation + (1 - allocating) * content)
            self.memory = self.memory * (1 - torch.outer(writes, torch.sigmoid(self.erase(h))))
            self.memory = self.memory + torch.outer(writes, self.vector(h))
            links = (1 - writes.unsqueeze(1) - writes.unsqueeze(0)) * links
            links = (links + torch.outer(writes, precedence)) * off_diagonal
            precedence = (1 - writes.sum()) * precedence + writes
            for i in heads:
                forward, backward = links @ weights[i], links.T @ weights[i]
                content = self.content(keys[i], strengths[i])
                weights[i] = modes[i, 0] * backward + modes[i, 1] * content + modes[i, 2] * forward
                reads[i] = weights[i] @ self.memory
            outputs.append(self.output(torch.cat([h, *reads])))
        return torch.stack(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.sequence(one) for one in x])
