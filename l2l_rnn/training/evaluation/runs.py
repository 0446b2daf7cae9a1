"""Evaluation of a learner: adapt to each support set, and score the predictions for the queries."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms import MAML, MemoryLearner, ProtoMAML
from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.checks import check_int
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.training.adaptation import adapted, default_loss, own_steps
from l2l_rnn.training.evaluation.evaluation import Evaluation
from l2l_rnn.training.evaluation.isolation import evaluating
from l2l_rnn.training.evaluation.metrics import Score
from l2l_rnn.training.evaluation.scoring import Scorer
from l2l_rnn.training.evaluation.tasks import EvaluationTasks
from l2l_rnn.training.learning.non_finite import is_non_finite, listed_reasons, reasons_of
from l2l_rnn.training.per_task import Loss, PerTask
from l2l_rnn.training.support import check_padding

_WHO = "evaluate"


def evaluate(
    learner: nn.Module,
    taskset: Any,
    shots: Any = None,
    tasks: int = 600,
    *,
    ways: Any = None,
    queries: Any = None,
    imbalanced: bool = False,
    steps: int | None = None,
    loss: Loss | None = None,
    score: str | Score | Sequence[str | Score] | None = None,
    seed: int = 0,
    tasks_at_once: int = 50,
    device: torch.device | str | None = None,
) -> Evaluation:
    """Evaluate a learner: adapt clones to support sets, and score their predictions for queries.

    The learner stays as it is: its parameters, gradients and memory, its training mode, and the
    global random number generators. The clones are in evaluation mode, without dropout. They adapt
    with first-order gradients, which give the same adapted parameters as second-order ones and need
    less memory. It may be called under `torch.no_grad()` and `torch.inference_mode()`.

    The tasks depend on the task set, the shots, queries and ways, and on `seed`. They do not depend
    on `tasks_at_once`, and fewer tasks are the first ones of more.

    Args:
        learner: any learner that `adapted` takes.
        taskset: a learn2learn `Taskset`, a dataset, a family of tasks, or anything else that
            `data.TaskLoader` takes; a `TaskLoader`, whose stream is read from its start and whose
            position stays; or a `TaskBatch` or a list of them. The sizes of the tasks of the last
            two are their own.
        shots: support examples per class, or per task if there are no classes; a number, or a pair
            `(least, most)` from which each task draws its own.
        tasks: the number of tasks. A task set with a fixed number of tasks, or a list of batches,
            may have fewer, and each is used once.
        ways: classes per task of a dataset, a number or a pair; a task set has its own.
        queries: query examples per class, a number or a pair; None uses all that remain in a task
            set.
        imbalanced: whether classes with too few examples for the shots and queries take part with
            fewer; only for datasets.
        steps: gradient steps, or writes of a `MemoryLearner`; None takes the learner's own number.
        loss: the loss of the support set, as in `adapted`, such as one of torch's; None uses the
            family's own, or as in `adapted`.
        score: the score or scores: `"accuracy"`, `"f1"` (macro), `"ece"` (expected calibration
            error), `"brier"`, `"nll"` (negative log-likelihood), `"mse"`, `"mae"`, or `"error"`,
            that of a task family; or a function of outputs and targets that returns `(N,)`, or a
            scalar for one task as torch's losses, and may take a mask (None if no row is padding).
            None uses accuracy for classes, and otherwise the error
            of the family or `"mse"`.
        seed: determines the tasks.
        tasks_at_once: tasks that are adapted to at once. Lower it to save memory.
        device: device of the tasks; None uses that of the learner's parameters.

    Raises:
        ArgumentTypeError: the learner cannot adapt, or the task set is not one.
        ArgumentError: an argument is invalid, a score does not fit the targets, or the learner has
            outputs for too few classes.
        DataError: there are too few classes or examples, a support set is empty, or tasks have a
            single class.
        AdaptationError: outputs or scores are NaN; the message names the tasks.

    Example:
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> from l2l_rnn.models import SequenceEncoder
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> test = get_tasksets("languages", test_ways=5, test_samples=15).test
        >>> learner = ProtoNet(SequenceEncoder(vocab_size=300, hidden_size=16), ways=5)
        >>> evaluation = evaluate(learner, test, shots=5, tasks=20, score=("accuracy", "f1"))
        >>> list(evaluation.summary()), evaluation.tasks, evaluation.settings["queries"]
        (['accuracy', 'f1'], 20, 10)
    """
    size = check_int(_WHO, "tasks_at_once", tasks_at_once)
    check_learner(_WHO, learner)
    with outside_inference_mode():
        drawn = EvaluationTasks(_WHO, taskset, shots, tasks, ways, queries, seed, imbalanced)
        scorer = Scorer(_WHO, drawn, score)
        run = Run(_WHO, learner, drawn, scorer, steps, loss, size, device)
        found, seconds = run.scores()
    return Evaluation(found[0], seconds, drawn.fingerprint, run.settings)


class Run:
    """One pass over the tasks of an evaluation.

    Args:
        who: begins error messages.
        learner: the learner.
        drawn: the tasks.
        scorer: computes the scores.
        steps, loss, device: as in `evaluate`.
        size: tasks at once.
        after: the numbers of the steps after which to score, in ascending order; 0 scores a
            learner before it adapts. None scores after the last step only.

    Attributes:
        settings: the settings of the evaluation, as JSON.
    """

    def __init__(
        self,
        who: str,
        learner: nn.Module,
        drawn: EvaluationTasks,
        scorer: Scorer,
        steps: int | None,
        loss: Loss | None,
        size: int,
        device: torch.device | str | None,
        after: Sequence[int] | None = None,
    ) -> None:
        self.who, self.learner, self.drawn, self.scorer = who, learner, drawn, scorer
        self.steps = own_steps(learner) if steps is None else check_int(who, "steps", steps)
        self.after = [self.steps] if after is None else list(after)
        if device is None:
            first = next(itertools.chain(learner.parameters(), learner.buffers()), torch.empty(0))
            device = first.device
        self.device, self.size = torch.device(device), size
        family = drawn.family
        chosen = loss
        if chosen is None:
            own = family is not None and not scorer.classes
            chosen = family.loss if own and family else default_loss(drawn.first.query_y)
        self.loss = PerTask(chosen, who, "loss")
        named = getattr(loss, "__name__", type(loss).__name__)
        self.settings: dict[str, Any] = {
            "learner": type(learner).__name__,
            **drawn.settings,
            "steps": None if isinstance(learner, SupportHolder) else self.steps,
            "loss": None if loss is None else named,
        }

    def scores(self) -> tuple[list[dict[str, tuple[float, ...]]], float]:
        """Return the scores after each number of steps, and the seconds per task."""
        names = list(self.scorer.functions)
        found: list[list[list[Tensor]]] = [[[] for _ in names] for _ in self.after]
        seconds, done = 0.0, 0
        with evaluating(self.learner, self.drawn.settings["seed"] or 0, self.device):
            first = self.drawn.first.slice(0, 1).to(self.device)
            with self._blaming(first, 0):
                classes = self._probe(first)
            for batch in self.drawn.batches(self.size, self.device):
                self._check_labels(batch, classes)
                start = self._clock()
                with self._blaming(batch, done):
                    outputs = self._outputs(batch)
                seconds += self._clock() - start
                for place, predicted in enumerate(outputs):
                    scores = self.scorer(self.who, predicted, batch, done)
                    for held, one in zip(found[place], scores, strict=True):
                        held.append(one)
                done += len(batch)
        tables = [
            {n: tuple(torch.cat(part).tolist()) for n, part in zip(names, parts, strict=True)}
            for parts in found
        ]
        return tables, seconds / done

    @contextlib.contextmanager
    def _blaming(self, batch: TaskBatch, first: int) -> Iterator[None]:
        """Name the tasks of a batch in errors about values that are not finite."""

        def losses(task: TaskBatch) -> tuple[Tensor, Tensor]:
            self._outputs(task)  # raises the error of the learner
            return torch.zeros(1), torch.zeros(1)

        try:
            yield
        except ArgumentError as error:
            if not is_non_finite(error):
                raise
            found = [f"task {first + n}: {why}" for n, why in reasons_of(batch, losses).items()]
            raise AdaptationError(
                f"{self.who}: adaptation to every task must be finite, got "
                f"{listed_reasons(found)}; check the data, or lower the learning rates"
            ) from error

    def _outputs(self, batch: TaskBatch) -> list[Tensor]:
        """Return the outputs for the queries after each number of steps."""
        x, y, queries, mask = batch.support_x, batch.support_y, batch.query_x, batch.support_mask
        check_padding(self.who, self.learner, batch.query_mask)
        if isinstance(self.learner, (MAML, SupportHolder, MemoryLearner)):
            return self._outputs_of(x, y, queries, mask, len(batch))
        masks = [None] * len(batch) if mask is None else mask
        each = [self._outputs_of(*task, None) for task in zip(x, y, queries, masks, strict=True)]
        return [torch.stack(outputs) for outputs in zip(*each, strict=True)]

    def _outputs_of(
        self, x: Tensor, y: Tensor, queries: Tensor, mask: Tensor | None, tasks: int | None
    ) -> list[Tensor]:
        found: dict[int, Tensor] = {}

        def record(step: int, learner: Any) -> None:
            if step in self.after:
                found[step] = self._predict(learner, queries)

        masks: dict[str, Any] = {} if mask is None else {"mask": mask}
        if 0 in self.after:
            copy: Any = self.learner.clone(**({} if tasks is None else {"tasks": tasks}))
            if isinstance(copy, ProtoMAML):
                copy.write(x, y, **masks)
            record(0, copy)
        if self.after[-1] > 0:
            with torch.set_grad_enabled(takes_gradients(self.learner)):
                copy = adapted(
                    self.learner,
                    x,
                    y,
                    tasks=tasks,
                    steps=self.after[-1],
                    loss=self.loss,
                    after_step=record if len(self.after) > 1 else None,
                    **masks,
                )
            found.setdefault(self.after[-1], self._predict(copy, queries))
        # A learner of support sets adapts once, whatever the number of steps.
        return [found[k] if k in found else found[self.after[-1]] for k in self.after]

    @staticmethod
    def _predict(learner: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            outputs: Tensor = learner(x)
        return outputs.detach()

    def _probe(self, batch: TaskBatch) -> int | None:
        """Call a clone on one task, and return the number of classes that it has outputs for.

        Raises:
            ShapeError: the outputs do not fit the targets.
        """
        with torch.no_grad():
            outputs = self.learner.clone()(batch.query_x[0])
        y = batch.query_y[0]
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        if self.scorer.classes:
            if not isinstance(outputs, Tensor) or outputs.shape[:-1] != y.shape:
                raise ShapeError(
                    f"{self.who}: the learner must return scores of classes, ({len(y)}, C) for "
                    f"{len(y)} queries, got {shape}; end the model in a linear layer of C outputs"
                )
            return outputs.shape[-1]
        if not isinstance(outputs, Tensor) or outputs.shape[:1] != y.shape[:1]:
            raise ShapeError(
                f"{self.who}: the learner must return one output for each query, ({len(y)}, …), "
                f"got {shape}; check the model"
            )
        return None

    def _check_labels(self, batch: TaskBatch, classes: int | None) -> None:
        if classes is None:
            return
        for y, mask in ((batch.support_y, batch.support_mask), (batch.query_y, batch.query_mask)):
            most = int((y if mask is None else torch.where(mask, y, 0)).max())
            if most >= classes:
                raise ArgumentError(
                    f"{self.who}: the learner must have outputs for at least {most + 1} classes, "
                    f"got {classes}; create it for ways={most + 1}, or evaluate it on tasks of "
                    f"{classes} ways"
                )

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def takes_gradients(learner: nn.Module) -> bool:
    """Return whether a learner adapts by gradients, rather than by writing alone."""
    if isinstance(learner, MemoryLearner):
        return learner.lr is not None
    return not isinstance(learner, SupportHolder)


def check_learner(who: str, learner: object) -> None:
    """Check that a learner can adapt.

    Raises:
        ArgumentTypeError: it is not a module with `clone` and `adapt`.
    """
    if not isinstance(learner, nn.Module) or not all(
        hasattr(learner, name) for name in ("clone", "adapt")
    ):
        raise ArgumentTypeError(
            f"{who}: learner must have clone() and adapt(), got {type(learner).__name__}; wrap "
            "the model in one, such as algorithms.MAML"
        )
