"""Networks that read a whole episode as one sequence, the label of an item one step late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.methods.protonet import MetaLearnedMetric
from benchmarks.few_shot.problems.instance_problem import InstanceProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, train
from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.data import Episodes, SequenceDataset
from l2l_rnn.memory import MANN, NTM, DeltaFastWeights, HebbianRNN, MemoryLayer, MemoryNetwork
from l2l_rnn.nn import LSTM, Linear

CELLS: dict[str, Callable[..., nn.Module]] = {
    "lstm": lambda inputs, size: LSTM(inputs, size, batch_first=True),
    "mann": lambda inputs, size, **options: MANN(inputs, size, size, **options),
    "ntm": lambda inputs, size, **options: NTM(inputs, size, size, **options),
    "memory network": lambda inputs, size, **options: MemoryLayer(
        inputs, MemoryNetwork(size, size, **options)
    ),
    "hebbian": lambda inputs, size, **options: HebbianRNN(inputs, size, **options),
    "delta": lambda inputs, size, **options: MemoryLayer(
        inputs, DeltaFastWeights(size, size, **options)
    ),
}


class EpisodeNetwork(nn.Module):
    """Name each item of an episode from what came before it.

    A step reads the item's vector, the label of the item before and, with `before`, the vector of
    the item before once more: what the label belongs to. It tells nothing new.

    Args:
        vector_size: features of an item's vector.
        ways: `C`, the labels there are.
        cell: which network reads the episode, of `CELLS`.
        size: its size: hidden units, or keys and values.
        before: whether a step reads the item before too.
        dropout: share of an item's features that is set to 0 in training.
        options: further ones of the network.

    Shapes:
        vectors (N, T, vector_size), previous (N, T, C) -> scores (N, T, C).
    """

    def __init__(
        self,
        vector_size: int,
        ways: int,
        *,
        cell: str,
        size: int,
        before: bool = True,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.before, self.dropout = before, dropout
        self.network = CELLS[cell]((1 + before) * vector_size + ways, size, **options)
        self.head = Linear(size, ways)

    def forward(self, vectors: Tensor, previous: Tensor) -> Tensor:
        vectors = F.layer_norm(vectors, vectors.shape[-1:])
        vectors = F.dropout(vectors, self.dropout, self.training)
        read = [vectors, previous]
        if self.before:
            read.append(F.pad(vectors, (0, 0, 1, -1)))
        outputs, _ = self.network(torch.cat(read, -1))
        return self.head(outputs)


class EpisodeMethod(Method):
    """Names the items of episodes by the vectors of an encoder that was trained before.

    The encoder is meta-trained as a ProtoNet, once for all methods that ask for the same, and
    then stays as it is.

    Args:
        encoder: options of the problem's encoder.
        pretraining: how it is trained.
    """

    problem: InstanceProblem

    def __init__(
        self,
        problem: InstanceProblem,
        label: str,
        *,
        encoder: dict[str, Any],
        pretraining: Training,
    ) -> None:
        super().__init__(problem, label)
        self.metric = MetaLearnedMetric(problem, "encoder", model=encoder, training=pretraining)
        self.items: dict[str, SequenceDataset] = {}

    def fit(self) -> History:
        history = self.metric.fit()
        (encoder,) = self.metric.encoders
        for split in ("train", "validation", "test"):
            key = ("vectors", split, id(encoder))
            if key not in self.problem.memo:
                self.problem.memo[key] = self.problem.vectors(split, encoder)
            self.items[split] = self.problem.memo[key]
        return history

    def answer(self, episodes: Episodes) -> Tensor:
        """Score the labels of all items: `(N, T, C)`."""
        raise NotImplementedError

    def scores(self, column: str) -> Tensor:
        instance = self.problem.spec.instances[self.problem.columns.index(column)]
        return self.accuracies("test", self.problem.test_tasks, instance)

    def accuracies(self, split: str, episodes: int, instance: int) -> Tensor:
        """Compute the share of classes named rightly when shown that often, `(episodes,)`."""
        found = []
        judged = self.problem.judged(split, self.items[split], episodes)
        for start in range(0, episodes, self.chunk):
            part = _some(judged, start, start + self.chunk)
            right = self.answer(part).argmax(-1) == part.y
            found.append(right[part.instance == instance].view(len(part), -1).float().mean(-1))
        return torch.cat(found).cpu()

    def validation_accuracy(self, episodes: int) -> float:
        """Mean accuracy on validation episodes over the columns but the 1st, which is a guess."""
        asked = [i for i in self.problem.spec.instances if i > 1]
        means = [self.accuracies("validation", episodes, i).mean().item() for i in asked]
        return sum(means) / len(means)


class ClassMeansSoFar(EpisodeMethod):
    """Names an item by the nearest mean of the items labelled so far, without any memory network.

    Args:
        encoder, pretraining: as in `EpisodeMethod`.
    """

    def answer(self, episodes: Episodes) -> Tensor:
        vectors = episodes.x.squeeze(2)
        learner = ProtoNet(nn.Identity(), self.problem.spec.ways).clone(tasks=len(episodes))
        scores = [episodes.previous[:, 0]]  # there is nothing to go by
        for t in range(1, vectors.shape[1]):
            learner.write(vectors[:, t - 1 : t], episodes.y[:, t - 1 : t])
            known = episodes.previous[:, : t + 1].amax(1)
            asked = learner(vectors[:, t : t + 1]).squeeze(1)
            scores.append(asked.masked_fill(known == 0, -torch.inf))
        return torch.stack(scores, 1)


class EpisodeReader(EpisodeMethod):
    """Trains a network to read episodes.

    Args:
        encoder, pretraining: as in `EpisodeMethod`.
        network: options of `EpisodeNetwork`, but for its size.
        parameters: how many the network is to have; its size is the one that comes nearest.
        training: how; its tasks are the episodes of a step.
        grow: share of the training in which episodes grow from two classes, shown three times
            each, to their full size.
    """

    def __init__(
        self,
        problem: InstanceProblem,
        label: str,
        *,
        encoder: dict[str, Any],
        pretraining: Training,
        network: dict[str, Any],
        parameters: int,
        training: Training,
        grow: float = 0.5,
    ) -> None:
        super().__init__(problem, label, encoder=encoder, pretraining=pretraining)
        self.network, self.parameters = network, parameters
        self.training, self.grow = training, grow

    def fit(self) -> History:
        pretraining = super().fit()
        vector_size = self.items["train"].sequences.shape[-1]
        self.reader = self.made(vector_size, self.problem.spec.ways).to(self.problem.device)
        history = train(
            self.reader,
            self.training,
            self._loss,
            lambda: self.validation_accuracy(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )
        history.pretraining_seconds = pretraining.seconds
        return history

    def made(self, vector_size: int, ways: int) -> nn.Module:
        """Make the network whose parameters are nearest in number to those asked for."""

        def of_size(size: int) -> EpisodeNetwork:
            return EpisodeNetwork(vector_size, ways, size=size, **self.network)

        def count(size: int) -> int:
            with torch.device("meta"):
                return _count(of_size(size))

        low, high = 1, 2
        while count(high) < self.parameters:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if count(middle) < self.parameters else (low, middle)
        return of_size(min(low, high, key=lambda size: abs(count(size) - self.parameters)))

    def lesson(self, progress: float) -> tuple[int, int]:
        """How many classes an episode has, and how often each is shown."""
        grown = min(1.0, progress / self.grow) if self.grow else 1.0
        ways, times = self.problem.spec.ways, self.problem.spec.times
        return _between(min(2, ways), ways, grown), _between(min(3, times), times, grown)

    def _loss(self, step: int, progress: float) -> tuple[Tensor, Tensor]:
        ways, times = self.lesson(progress)
        episodes = self.problem.lesson(self.items["train"], self.training.tasks, ways, times)
        self.reader.train()
        scores = self.reader(episodes.x.squeeze(2), episodes.previous)
        loss = F.cross_entropy(scores.flatten(0, 1), episodes.y.flatten())
        return loss, (scores.argmax(-1) == episodes.y).float().mean()

    def answer(self, episodes: Episodes) -> Tensor:
        self.reader.eval()
        with torch.no_grad():
            return self.reader(episodes.x.squeeze(2), episodes.previous)

    def details(self) -> dict[str, Any]:
        return {"parameters": _count(self.reader)}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _between(low: int, high: int, share: float) -> int:
    return low + int(share * (high - low))


def _some(episodes: Episodes, start: int, stop: int) -> Episodes:
    parts = (episodes.x, episodes.previous, episodes.y, episodes.instance)
    return Episodes(*(part[start:stop] for part in parts))
