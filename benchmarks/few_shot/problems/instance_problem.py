"""Episodes in Santoro's order: endless ones to train on, fixed ones to be judged on."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from benchmarks.few_shot.problems.problem import Problem
from benchmarks.few_shot.spec import InstanceSpec
from benchmarks.few_shot.stroke_maps import DIRECTIONS, SIZE, stroke_maps
from l2l_rnn.data import Episodes, SequenceDataset, santoro_episodes
from l2l_rnn.nn import LayerNorm, Linear
from l2l_rnn.tasksets import get_tasksets


class InstanceProblem(Problem):
    """A spec's task set, opened, its tasks laid out as episodes.

    Args:
        spec: the experiment.
        seed: fixes the test episodes and, with `seed_everything`, all else.
        device: where tensors go.
        test_tasks: how many meta-test episodes.
    """

    spec: InstanceSpec

    def __init__(
        self, spec: InstanceSpec, seed: int, device: torch.device, test_tasks: int
    ) -> None:
        super().__init__(spec, seed, device, test_tasks)
        if spec.training_options:
            options = spec.taskset_options | spec.training_options
            self.train = get_tasksets(spec.taskset, **options).train.dataset.dataset
        if spec.maps:
            for split in ("train", "validation", "test"):
                setattr(self, split, _as_maps(getattr(self, split)))

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of the table are called."""
        return tuple(map(ordinal, self.spec.instances))

    def encoder(self, **options: Any) -> nn.Module:
        return MapEncoder(**options) if self.spec.maps else super().encoder(**options)

    def vectors(self, split: str, encoder: nn.Module) -> SequenceDataset:
        """A split's items as one step each: their vectors by a trained encoder."""
        dataset: SequenceDataset = getattr(self, split)
        encoder.eval()
        with torch.no_grad():
            parts = [encoder(part.to(self.device)).cpu() for part in dataset.sequences.split(500)]
        return SequenceDataset(torch.cat(parts).unsqueeze(1), dataset.labels, dataset.classes)

    def lesson(self, items: SequenceDataset, episodes: int, ways: int, times: int) -> Episodes:
        """Draw new episodes of some classes, named by some of the C names."""
        return self._laid_out(items, episodes, ways, times, None)

    def judged(self, split: str, items: SequenceDataset, episodes: int) -> Episodes:
        """The episodes that every method is judged on, the same ones at each call."""
        # Of a string Python's own hash changes between runs.
        seed = random.Random(f"{self.seed} {split}").getrandbits(48)
        generator = Generator().manual_seed(seed)
        return self._laid_out(items, episodes, self.spec.ways, self.spec.times, generator)

    def _laid_out(
        self,
        items: SequenceDataset,
        episodes: int,
        ways: int,
        times: int,
        generator: Generator | None,
    ) -> Episodes:
        batch = items.draw(episodes, 1, times - 1, generator, ways=ways)
        laid = santoro_episodes(batch, generator=generator, classes=self.spec.ways)
        return Episodes(
            *(part.to(self.device) for part in (laid.x, laid.previous, laid.y, laid.instance))
        )


class MapEncoder(nn.Module):
    """Compute a vector of a drawing's maps: a relu layer and a linear one.

    Args:
        hidden_size: units of the first layer.
        embedding_size: features of the vector.

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


def ordinal(number: int) -> str:
    """Name a place in an order of at most 20, such as 1st."""
    return f"{number}{ ({1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th')) }"


def _as_maps(dataset: Any) -> SequenceDataset:
    maps = stroke_maps(dataset.sequences, dataset.scale)
    return SequenceDataset(maps, dataset.labels, dataset.classes)
