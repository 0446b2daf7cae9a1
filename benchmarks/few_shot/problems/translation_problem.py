"""Few-shot translation into languages of unseen families."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.columns import Column, Pairs
from benchmarks.few_shot.problems.number_grammars import invented_language
from benchmarks.few_shot.problems.problem import Problem, generator_of, seed_of
from benchmarks.few_shot.spec import Training, TranslationSpec
from benchmarks.few_shot.text_measures import check_measures
from l2l_rnn.data import CharacterVocabulary, TaskBatch
from l2l_rnn.functional import token_lengths
from l2l_rnn.tasksets import Translation, get_tasksets
from l2l_rnn.training import PairInputs, TextInputs

END_OF_TEXT = "\x03"
SPLITS = ("train", "validation", "test")
_MARKS = " -'’ʼ\u0300\u0301\u0303"


@dataclass(frozen=True)
class TranslationTasks:
    """Tasks of one column, the same for every method.

    Attributes:
        batch: the pairs as token ids: sources `(N, B, S)` and targets `(N, B, T)`.
        sources, targets: texts of the support pairs, by task.
        queries, references: texts of the query pairs, by task.
    """

    batch: TaskBatch
    sources: list[list[str]]
    targets: list[list[str]]
    queries: list[list[str]]
    references: list[list[str]]

    def __len__(self) -> int:
        return len(self.batch)


class TranslationTrainingTasks:
    """Endless batches of tasks of the training languages, and of invented ones.

    Args:
        problem: the problem.
        training: tasks per batch, and their pairs: `shots` and `queries`.
        seed: random seed of the tasks.
        invented: share of tasks in invented languages.
        permuted: share of tasks in which the letters of the targets are permuted, so that words
            cannot be recognized.
    """

    def __init__(
        self,
        problem: TranslationProblem,
        training: Training,
        seed: int,
        invented: float = 0.0,
        permuted: float = 0.0,
    ) -> None:
        self.problem, self.training = problem, training
        self.invented, self.permuted = invented, permuted
        self.generator = generator_of(seed, "translation")
        self.random = random.Random(seed_of(seed, "languages"))

    def batch(self, step: int, progress: float) -> TaskBatch:
        """Draw the batch of a training step."""
        shots = self.training.shots[step % len(self.training.shots)]
        parts = [self._task(shots) for _ in range(self.training.tasks)]
        x, y = (torch.stack(part) for part in zip(*parts, strict=True))
        y = y[..., : int(token_lengths(y).max())]
        device = self.problem.device
        return TaskBatch(x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:]).to(device)

    def _task(self, shots: int) -> tuple[Tensor, Tensor]:
        """Draw the pairs of one task."""
        problem, count = self.problem, shots + self.training.queries
        if self.random.random() < self.invented:
            x, y = problem.invented[self.random.randrange(len(problem.invented))]
        else:
            tables = problem.tables["train"]
            x, y = tables[self.random.randrange(len(tables))]
        rows = torch.randperm(len(x), generator=self.generator)[:count]
        x, y = x[rows], y[rows]
        if self.random.random() < self.permuted:
            y = problem.permutation(self.generator)[y]
        return x, y


class TranslationProblem(Problem):
    """The task set `translation`.

    Args:
        spec: the experiment.
        seed: random seed of all tasks.
        device: device of the tensors.
        test_tasks: number of test tasks.
    """

    spec: TranslationSpec

    def __init__(
        self, spec: TranslationSpec, seed: int, device: torch.device, test_tasks: int
    ) -> None:
        super().__init__(spec, seed, device, test_tasks)
        check_measures()  # before any training
        vocabulary = latin_vocabulary(capitals=spec.copying)
        tasksets = get_tasksets("translation", target_vocabulary=vocabulary, **spec.taskset_options)
        self.train, self.validation, self.test = (taskset.source for taskset in tasksets)

    @property
    def taskset(self) -> str:
        """The name of the task set."""
        return "translation"

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The codes of the training languages."""
        return tuple(self.train.group_names)

    @property
    def inputs(self) -> PairInputs:
        """What turns texts into the sequences of the pairs."""
        train = self.train
        return PairInputs(
            TextInputs(train.vocabulary, train.inputs.shape[1]),
            TextInputs(train.target_vocabulary, self.max_length),
            END_OF_TEXT,
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.spec.columns

    def description(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for split in SPLITS:
            dataset: Translation = getattr(self, split)
            found[split] = {"languages": len(dataset.group_names), "pairs": len(dataset)}
        return found | {"invented": {"languages": self.spec.invented}}

    @property
    def vocab_sizes(self) -> tuple[int, int]:
        """Numbers of source and target ids."""
        return len(self.train.vocabulary), len(self.train.target_vocabulary)

    @cached_property
    def model_options(self) -> dict[str, Any]:
        """What all models need to know besides the numbers of ids."""
        options: dict[str, Any] = {"max_length": self.max_length, "end": Translation.END}
        if self.spec.copying:
            source, target = self.train.vocabulary, self.train.target_vocabulary
            known = [target.token_ids.get(c, 0) for c in source.characters]
            options["copies"] = [0, 0, *known]
        return options

    @property
    def max_length(self) -> int:
        """Maximum number of target tokens, END included."""
        return self.train.targets.shape[1]

    @cached_property
    def letters(self) -> Tensor:
        """The ids of all letters of targets."""
        ids = self.train.target_vocabulary.token_ids
        return torch.tensor([i for c, i in ids.items() if c.isalpha() and c not in _MARKS])

    def permutation(self, generator: Generator | None) -> Tensor:
        """Return a new id for each target id: letters are permuted, or kept without a generator."""
        table = torch.arange(len(self.train.target_vocabulary))
        if generator is not None:
            order = torch.randperm(len(self.letters), generator=generator)
            table[self.letters] = self.letters[order]
        return table

    @cached_property
    def tables(self) -> dict[str, list[tuple[Tensor, Tensor]]]:
        """The pairs of each language, sources and targets, by split."""
        found = {}
        for split in ("train", "validation"):
            dataset: Translation = getattr(self, split)
            members = [dataset.groups == g for g in range(len(dataset.group_names))]
            found[split] = [(dataset.inputs[rows], dataset.targets[rows]) for rows in members]
        return found

    @cached_property
    def invented(self) -> list[tuple[Tensor, Tensor]]:
        """The pairs of each invented language."""
        generator = random.Random(seed_of(self.seed, "invented"))
        vocabulary, targets = self.train.vocabulary, self.train.target_vocabulary
        tables: list[tuple[Tensor, Tensor]] = []
        while len(tables) < self.spec.invented:
            words = invented_language(generator)
            words = {x: y for x, y in words.items() if len(y) < self.max_length}
            if sum(map(len, words.values())) > 25 * len(words):  # longer than in real languages
                continue
            x = padded([vocabulary.encode(digits) for digits in words], self.train.inputs.shape[1])
            y = padded(
                [targets.encode(word + END_OF_TEXT) for word in words.values()], self.max_length
            )
            tables.append((x, y))
        return tables

    def training_tasks(
        self, training: Training, seed: int, **how: float
    ) -> TranslationTrainingTasks:
        """Start a stream of training tasks."""
        return TranslationTrainingTasks(self, training, seed, **how)

    def evaluation_tasks(self, split: str, column: Pairs, tasks: int) -> TranslationTasks:
        """Return tasks of a split, the same in every call, with equally many in each language."""
        dataset: Translation = getattr(self, split)
        generator = generator_of(self.seed, split, column.pairs)
        count = column.pairs + self.spec.queries
        rows = [self._rows(dataset, n, count, generator) for n in range(tasks)]
        items = torch.stack(rows)
        support, query = items[:, : column.pairs], items[:, column.pairs :]
        batch = TaskBatch(
            dataset.inputs[support],
            dataset.targets[support],
            dataset.inputs[query],
            dataset.targets[query],
        )
        texts = [
            [[dataset.texts[i][side] for i in row] for row in part.tolist()]
            for part in (support, query)
            for side in (0, 1)
        ]
        return TranslationTasks(batch.to(self.device), *texts)

    @staticmethod
    def _rows(dataset: Translation, number: int, count: int, generator: Generator) -> Tensor:
        """Draw the pairs of a task in the language whose turn it is."""
        language = number % len(dataset.group_names)
        members = (dataset.groups == language).nonzero().squeeze(-1)
        return members[torch.randperm(len(members), generator=generator)[:count]]


def latin_vocabulary(*, capitals: bool) -> CharacterVocabulary:
    """Return a target vocabulary of END and all letters of the Latin script.

    It does not depend on any language, so unseen languages have no unknown letters.

    Args:
        capitals: whether to include capital letters, digits, punctuation and combining marks.
    """
    blocks = (range(0x20, 0x250), range(0x250, 0x2B0), range(0x1E00, 0x1F00))
    found = {c for block in blocks for c in map(chr, block) if c.isalpha()}
    if capitals:
        signs = (range(0xA1, 0xC0), range(0x2B0, 0x370), range(0x2010, 0x2028))
        found |= set(string.printable.strip()).union(*(map(chr, block) for block in signs))
    else:
        found = {c for c in found if c.islower()}
    return CharacterVocabulary([END_OF_TEXT, *sorted(found | set(_MARKS))])


def padded(rows: list[list[int]], steps: int) -> Tensor:
    """Return lists of ids as one tensor, padded with 0."""
    table = torch.zeros(len(rows), steps, dtype=torch.int64)
    for row, ids in zip(table, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return table


def first_tasks(tasks: TranslationTasks, start: int, stop: int) -> TranslationTasks:
    """Return some of the tasks."""
    cut = slice(start, stop)
    part = tasks.batch.slice(start, stop)
    steps = int(token_lengths(torch.cat([part.support_y, part.query_y], 1)).max())
    part = replace(  # without the padding that all targets have
        part, support_y=part.support_y[..., :steps], query_y=part.query_y[..., :steps]
    )
    return replace(
        tasks,
        batch=part,
        sources=tasks.sources[cut],
        targets=tasks.targets[cut],
        queries=tasks.queries[cut],
        references=tasks.references[cut],
    )
