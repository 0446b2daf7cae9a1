"""Problems with the episodes of Santoro et al., which show one item after another."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from benchmarks.few_shot.columns import Column, Instance
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.problems.problem import TrainingTasks, generator_of, seed_of
from benchmarks.few_shot.spec import EpisodeSpec
from benchmarks.few_shot.stroke_maps import DIRECTIONS, SIZE, stroke_maps
from l2l_rnn.data import SPLITS, Episodes, SequenceDataset, TaskBatch, santoro_episodes
from l2l_rnn.nn import LayerNorm, Linear
from l2l_rnn.tasksets import get_tasksets


class TrainingEpisodes(TrainingTasks):
    """Endless batches of training episodes that grow to their full size.

    Args:
        problem: the problem.
        items: the features of the training items.
        episodes: episodes per batch, `N`.
        grow: fraction of the training during which episodes grow from two classes with three items
            each to the size of the evaluation episodes.
        seed: random seed of the episodes.
    """

    def __init__(
        self,
        problem: EpisodeProblem,
        items: SequenceDataset,
        episodes: int,
        grow: float,
        seed: int,
    ) -> None:
        super().__init__(episodes, seed, torch.device("cpu"))
        self.problem, self.items, self.grow = problem, items, grow
        self.generator = Generator().manual_seed(seed_of(seed, "order"))

    def size(self, progress: float) -> tuple[int, int]:
        """Return the number of classes in an episode, and the number of items of each."""
        grown = min(1.0, progress / self.grow) if self.grow else 1.0
        ways, times = self.problem.spec.ways, self.problem.spec.times
        return _between(min(2, ways), ways, grown), _between(min(3, times), times, grown)

    def batch(self, step: int, progress: float) -> Episodes:
        """Draw the batch of a training step."""
        ways, times = self.size(progress)
        return self.problem.laid_out(self.draw(self.items, ways, 1, times - 1), self.generator)


class EpisodeProblem(ClassificationProblem):
    """The task set of a spec, with its tasks arranged as episodes.

    Args:
        spec: the experiment.
        seed: random seed of all episodes.
        device: device of the tensors.
        test_tasks: number of test episodes.
    """

    spec: EpisodeSpec

    def __init__(self, spec: EpisodeSpec, seed: int, device: torch.device, test_tasks: int) -> None:
        super().__init__(spec, seed, device, test_tasks)
        if spec.training_options:
            options = spec.taskset_options | spec.training_options
            self.train = get_tasksets(spec.taskset, root=spec.root, **options).train.dataset.dataset
        if spec.maps:
            for split in SPLITS:
                setattr(self, split, _as_maps(getattr(self, split)))

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(map(Instance, self.spec.instances))

    def encoder(self, **options: Any) -> nn.Module:
        return MapEncoder(**options) if self.spec.maps else super().encoder(**options)

    def vectors(self, split: str, encoder: nn.Module) -> SequenceDataset:
        """Encode the items of a split, as sequences of one step with the item's features."""
        dataset: SequenceDataset = getattr(self, split)
        encoder.eval()
        with torch.no_grad():
            parts = [encoder(part.to(self.device)).cpu() for part in dataset.sequences.split(500)]
        return SequenceDataset(torch.cat(parts).unsqueeze(1), dataset.labels, dataset.classes)

    def training_episodes(
        self, items: SequenceDataset, episodes: int, grow: float, seed: int
    ) -> TrainingEpisodes:
        """Start a stream of training episodes."""
        return TrainingEpisodes(self, items, episodes, grow, seed)

    def evaluation_episodes(self, split: str, items: SequenceDataset, episodes: int) -> Episodes:
        """Return episodes of a split, the same in every call."""
        generator = generator_of(self.seed, split)
        spec = self.spec
        batch = items.draw(episodes, 1, spec.times - 1, generator, ways=spec.ways)
        return self.laid_out(batch, generator)

    def laid_out(self, batch: TaskBatch, generator: Generator) -> Episodes:
        """Arrange tasks as episodes, with items in random order and a random choice of labels."""
        episodes = santoro_episodes(batch, generator=generator, classes=self.spec.ways)
        parts = (episodes.x, episodes.previous, episodes.y, episodes.instance)
        return Episodes(*(part.to(self.device) for part in parts))


class MapEncoder(nn.Module):
    """Two-layer network over the maps of a drawing.

    Args:
        hidden_size: units of the first layer.
        embedding_size: number of output features.

    Shapes:
        maps (…, SIZE, SIZE * DIRECTIONS) -> (…, embedding_size).
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, hidden_size: int = 256, embedding_size: int = 64) -> None:
        super().__init__()
        self.output_size = embedding_size
        self.layers = nn.Sequential(
            Linear(SIZE * SIZE * DIRECTIONS, hidden_size),
            LayerNorm(hidden_size),
            nn.ReLU(),
            Linear(hidden_size, embedding_size),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps.flatten(-2))


def _as_maps(dataset: Any) -> SequenceDataset:
    maps = stroke_maps(dataset.sequences, dataset.scale)
    return SequenceDataset(maps, dataset.labels, dataset.classes)


def _between(low: int, high: int, share: float) -> int:
    return low + int(share * (high - low))
