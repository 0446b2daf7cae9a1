"""Every count that a user passes may be a numpy integer."""

import numpy as np
import pytest
import torch

from l2l_rnn.data import (
    CharacterVocabulary,
    ForecastingDataset,
    GroupedDataset,
    SequenceDataset,
    SourceTaskset,
    TaskBatch,
    TaskLoader,
    TransformPipeline,
    WordVocabulary,
    draw_tasks,
    jitter,
    santoro_episodes,
    time_warp,
    window_slice,
)
from l2l_rnn.tasksets import Sinusoids

LABELS = torch.arange(12) % 3
SEQUENCES = SequenceDataset(torch.arange(1, 13).unsqueeze(-1), LABELS)
GROUPED = GroupedDataset(torch.randn(24, 2), torch.arange(24) % 2, torch.arange(24) // 12, "ab")
STEPS = torch.arange(12.0).view(6, 2)
TEXTS = ["a b a", "b c a"]


def seeded():
    return torch.Generator().manual_seed(0)


ENTRIES = {
    "CharacterVocabulary": lambda i: CharacterVocabulary(TEXTS, min_count=i(2)).characters,
    "WordVocabulary": lambda i: WordVocabulary(TEXTS, min_count=i(1), max_size=i(2)).words,
    "TransformPipeline": lambda i: TransformPipeline(
        lambda text: [len(text), 0], padding=i(0)
    ).encode("ab"),
    "SequenceDataset.draw": lambda i: SEQUENCES.draw(i(3), i(1), i(2), seeded(), ways=i(2)),
    "GroupedDataset.draw": lambda i: GROUPED.draw(i(3), i(1), i(2), seeded(), ways=i(2)),
    "TaskFamily.draw": lambda i: Sinusoids().draw(i(3), i(1), i(2), seeded()),
    "SourceTaskset": lambda i: SourceTaskset(SEQUENCES, i(2), i(3), i(5)).sample()[0].shape,
    "draw_tasks": lambda i: len(draw_tasks(SourceTaskset(SEQUENCES, 2, 3), i(4), i(1))),
    "TaskBatch.from_tasks": lambda i: TaskBatch.from_tasks(
        [(torch.arange(12), LABELS)], i(1), i(2)
    ),
    "TaskBatch.chunks": lambda i: len(
        list(TaskBatch.from_tasks([(torch.arange(12), LABELS)] * 3, 1).chunks(i(2)))
    ),
    "TaskLoader": lambda i: next(
        TaskLoader(
            SourceTaskset(SEQUENCES, 2, 4),
            i(5),
            i(1),
            i(2),
            batches=i(3),
            seed=i(0),
            prefetch=i(1),
            rank=i(1),
            world_size=i(2),
        )
    ),
    "santoro_episodes": lambda i: (
        santoro_episodes(
            STEPS.view(2, 3, 2), LABELS[:6].view(2, 3), seeded(), classes=i(4)
        ).previous
    ),
    "ForecastingDataset": lambda i: (
        ForecastingDataset([STEPS], context=i(2), horizon=i(1), stride=i(3)).inputs
    ),
    "jitter": lambda i: jitter(STEPS, i(1), generator=seeded()),
    "time_warp": lambda i: time_warp(STEPS, i(1), i(3), generator=seeded()),
    "window_slice": lambda i: window_slice(STEPS, i(1), generator=seeded()),
}


def plain(value):
    if isinstance(value, TaskBatch):
        value = [value.support_x, value.support_y, value.query_x, value.query_y]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return [plain(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("integer", [np.int64, np.uint8])
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_numpy_integers_are_accepted(entry, integer):
    assert plain(entry(integer)) == plain(entry(int))
