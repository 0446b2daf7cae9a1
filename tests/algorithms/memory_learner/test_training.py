"""Meta-training of MemoryLearner."""

import random

import torch
from torch import nn

from examples.drop_in import fast_adapt
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.memory import DeltaFastWeights, KeyValueMemory
from l2l_rnn.models import MemoryModel, SequenceEncoder
from l2l_rnn.tasksets import get_tasksets


def test_meta_training_learns_to_classify_unseen_classes():
    """Two features determine the class; five others are stronger noise."""
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=7, hidden_size=16, cell="gru", pooling="mean")
    memory = KeyValueMemory(16, 5, similarity="cosine")
    base = MemoryLearner(MemoryModel(encoder, memory))

    def tasks(count):
        """Sequences `(N, classes, samples, S, F)`; a class is a direction in two features."""
        angles = (torch.rand(count, 5) * 0.6 + torch.arange(5)) * (2 * torch.pi / 5)
        noise = torch.randn(count, 5, 4, 3, 7) * torch.tensor([0.1, 0.1, 3, 3, 3, 3, 3])
        noise[..., 0] += angles.cos()[..., None, None]
        noise[..., 1] += angles.sin()[..., None, None]
        return noise

    def solve(count):
        x = tasks(count)
        y = torch.arange(5).repeat_interleave(2).expand(count, 10)
        support, query = x[:, :, :2].flatten(1, 2), x[:, :, 2:].flatten(1, 2)
        learner = base.clone(tasks=count)
        learner.adapt(cross_entropy(learner(support), y))
        scores = learner(query)
        return cross_entropy(scores, y).mean(), (scores.argmax(-1) == y).float().mean().item()

    assert solve(100)[1] < 0.45
    optimizer = torch.optim.Adam(base.parameters(), 1e-2)
    for _ in range(80):
        loss, _ = solve(8)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert solve(100)[1] > 0.9


def test_meta_training_learns_to_regress():
    """A task is a weighted sum of two features; always predicting 0 has an error of 2."""
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=2, hidden_size=16, cell="gru")
    memory = DeltaFastWeights(16, 1, features="unit")
    base = MemoryLearner(MemoryModel(encoder, memory, regression=True))

    def solve(count):
        x, weights = torch.randn(count, 20, 3, 2), torch.randn(count, 1, 2)
        y = (x[:, :, 0] * weights).sum(-1, keepdim=True)
        learner = base.clone(tasks=count)
        learner.adapt(mean_squared_error(learner(x[:, :10]), y[:, :10]))
        return mean_squared_error(learner(x[:, 10:]), y[:, 10:]).mean()

    assert solve(100) > 1.5
    optimizer = torch.optim.Adam(base.parameters(), 1e-2)
    for _ in range(100):
        loss = solve(16)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert solve(100) < 0.8


def test_it_runs_in_the_unchanged_learn2learn_loop():
    state = random.getstate()
    random.seed(0)
    torch.manual_seed(0)
    tasksets = get_tasksets("languages", train_ways=3, train_samples=4, test_ways=3, test_samples=4)
    encoder = SequenceEncoder(vocab_size=tasksets.vocab_size, embedding_size=8, hidden_size=8)
    base = MemoryLearner(MemoryModel(encoder, DeltaFastWeights(8, 3, features="unit")))
    optimizer = torch.optim.Adam(base.parameters(), 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        error, score = fast_adapt(
            tasksets.train.sample(), base.clone(), nn.CrossEntropyLoss(), 2, 2, "cpu"
        )
        error.backward()
        for parameter in base.parameters():
            parameter.grad.data.mul_(0.5)
            assert parameter.grad.abs().max() > 0
        optimizer.step()
        assert 0 <= score <= 1
    random.setstate(state)
