"""A learner that adapts by writing to a memory, behind `clone()` and `adapt()`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from learn2learn.algorithms.base_learner import BaseLearner
from torch import Tensor

from l2l_rnn.algorithms.encoded import Encoded, clone_encoder, vectors_of
from l2l_rnn.algorithms.inner_loop.changes import Change, attribute_changes, make_changes
from l2l_rnn.algorithms.inner_loop.checks import (
    check_finite_loss,
    check_loss,
    check_lr,
    check_tasks,
    no_outputs_error,
    unrelated_loss_error,
)
from l2l_rnn.algorithms.inner_loop.gradients import gradient_step
from l2l_rnn.algorithms.inner_loop.selection import adapted_names
from l2l_rnn.algorithms.inner_loop.task_axis import TaskCalls, check_layers
from l2l_rnn.algorithms.labels import one_hot
from l2l_rnn.algorithms.memory_holder import MemoryHolder, usable_state
from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.checks import check_choice, check_int, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.losses import check_mask
from l2l_rnn.models import MemoryModel

# Default number of writes. On sine waves, learners with slots that were trained with 2 to 8 writes
# are at the chance level after 1 and near their best after 3. Those trained with 1 lose little.
WRITES = 3


@configurable
class MemoryLearner(MemoryHolder, BaseLearner):
    """Adapt to a task by writing to a memory.

    `M <- write(M, k(x), -dL/dy)`, where `k(x)` are the keys of the support sequences, `y` the
    learner's outputs and `L` the loss.

    `clone()` returns a learner with a blank memory. It shares the model's parameters, the slow
    weights, and `backward()` reaches them. `forward(x)` reads the memory and never changes it.
    `adapt(loss)` writes to it: the keys come from the last call, and the values come from the
    gradient of the loss with respect to the outputs of that call. Any loss of those outputs works.
    With cross-entropy, the negative gradient is label minus prediction; with the squared error, it
    is proportional to target minus output. Several `adapt` calls add up: each one writes the
    remaining error. `write(x, y)` does the same three times for given labels.

    Each call encodes its sequences. To adapt several times to one support set, encode it once and
    pass `encode(x)` in place of `x`, as in the example.

    With `lr`, the learner is a hybrid: `adapt` also takes a gradient step on the parameters that
    `adapts` names, with gradients through earlier writes.

    Args:
        model: a `models.MemoryModel`, which has an encoder and a store.
        reduction: how the loss of a task is reduced over its sequences, `"mean"` (the default of
            torch's losses) or `"sum"`. With the right value, the value written for a sequence does
            not depend on the number of sequences.
        first_order: whether to ignore how the written or subtracted gradients depend on the
            parameters.
        in_order: whether `adapt` and `write` write the sequences of a call one after the other, so
            that their order matters. By default, they write them as a set. Later calls always build
            on earlier ones.
        lr: the learning rate of the hybrid; None takes no gradient steps.
        adapts: names of the parameters that the hybrid adapts, or of modules that hold them. None
            adapts all parameters.

    Attributes:
        module: the model, with the parameters of this learner.
        state: the content of the memory, an immutable NamedTuple of tensors. To restore a memory,
            assign a state or a mapping with the same names. A memory with slots also counts the
            examples that were overwritten because all slots were full.
        adapted: names of the parameters that the hybrid adapts; None without `lr`.
        tasks: `N`, or None without a task axis.

    Shapes:
        forward: x `(B, …)` -> `(B, V)`; after `clone(tasks=N)` x `(N, B, …)` -> `(N, B, V)`.
        adapt: a scalar loss, or `(N,)` with one loss per task. A scalar is the sum over tasks.

    Raises:
        ArgumentTypeError: the model is not a `MemoryModel`.
        ArgumentError: `reduction` or `lr` is invalid, or `adapts` selects no parameter.

    Example:
        >>> from l2l_rnn.functional import cross_entropy
        >>> from l2l_rnn.memory import DeltaFastWeights
        >>> from l2l_rnn.models import SequenceEncoder
        >>> encoder = SequenceEncoder(input_size=3, hidden_size=8)
        >>> memory = DeltaFastWeights(key_size=8, value_size=2, features="unit")
        >>> learner = MemoryLearner(MemoryModel(encoder, memory)).clone()
        >>> x, y = torch.randn(4, 7, 3), torch.tensor([0, 1, 0, 1])
        >>> encoded = learner.encode(x)
        >>> for _ in range(3):
        ...     learner.adapt(cross_entropy(learner(encoded), y))
        >>> learner(x).shape, learner.state.weights.shape
        (torch.Size([4, 2]), torch.Size([2, 8]))

    Source: T. Munkhdalai and H. Yu, 2017, Meta Networks, and T. Munkhdalai et al., 2018, Rapid
    Adaptation with Conditionally Shifted Neurons, where a memory stores for each key a function of
    the loss gradient at the network's outputs. Here the memory is read in the space of the outputs.
    """

    def __init__(
        self,
        model: MemoryModel,
        *,
        reduction: str = "mean",
        first_order: bool = False,
        in_order: bool = False,
        lr: float | None = None,
        adapts: str | Iterable[str] | None = None,
    ) -> None:
        super().__init__(model)
        who = "MemoryLearner"
        if not isinstance(model, MemoryModel):
            raise ArgumentTypeError(
                f"{who}: model must be a models.MemoryModel, got {type(model).__name__}; wrap the "
                "encoder and a store in one"
            )
        self.reduction = check_choice(who, "reduction", reduction, ("mean", "sum"))
        self.first_order, self.in_order = first_order, in_order
        self.lr = None if lr is None else check_lr(who, lr, number=True)
        if lr is None and adapts is not None:
            raise ArgumentError(
                f"{who}: lr must be a number if adapts is given, got None; set lr to take gradient "
                "steps, or omit adapts="
            )
        self.adapted = None if lr is None else adapted_names(who, model, adapts)
        self.tasks: int | None = None
        self._task_calls = TaskCalls(who)
        self.reset()

    def clone(self, *, tasks: int | None = None) -> MemoryLearner:
        """Return a learner with a blank memory; its parameters backpropagate to this learner's.

        Args:
            tasks: `N`, the number of tasks to learn at once, each with its own memory; None for one
                task, without a task axis.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or the learner already holds tasks.
            ArgumentTypeError: the encoder has a recurrent layer of torch; or the learner is a
                hybrid, and a layer of its model besides the encoder has no task axis.
        """
        who = "MemoryLearner.clone"
        if tasks is not None:
            tasks = check_tasks(who, tasks, self.tasks)
            check_layers(who, self.module)
            parts = dict(self.module.named_children())
            parts.pop("encoder")  # it may be any module
            if self.adapted is not None and not all(map(knows_tasks, parts.values())):
                raise ArgumentTypeError(
                    f"{who}: the model's own layers must have a task axis, got others; convert it "
                    "with l2l_rnn.nn.convert, or clone() one task at a time"
                )
        learner = self.__class__.__new__(self.__class__)
        learner.__dict__ = {**self.__dict__, "_modules": {**self._modules}}
        learner.reset()
        with outside_inference_mode():
            learner._modules["module"] = clone_encoder(self.module)
            if tasks is not None and self.adapted is not None:
                expand_parameters(learner.module, tasks, self.adapted)
        if tasks is not None:
            learner.tasks = tasks
        return learner

    def encode(self, x: Tensor) -> Encoded:
        """Encode sequences once, for several calls of the learner.

        `learner(encoded)` and `write(encoded, y)` give the values and gradients of `learner(x)` and
        `write(x, y)`. Vectors encoded in `torch.no_grad()` carry no gradients to the encoder.

        Args:
            x: sequences, `(B, …)` or, with a task axis, `(N, B, …)`.

        Raises:
            ShapeError: x does not have the learner's task axis.
        """
        return Encoded.by(self.module.encoder, self._vectors("MemoryLearner.encode", x))

    def forward(self, x: Tensor | Encoded) -> Tensor:
        self._last = None
        lookup = self.module.look_up(self._vectors("MemoryLearner", x), self.state)
        # A copy, because the caller may change the outputs in place, and adapt differentiates them.
        lookup = lookup._replace(outputs=lookup.outputs.clone())
        self._last = lookup if torch.is_grad_enabled() else None
        return lookup.outputs

    def write(
        self,
        x: Tensor | Encoded,
        y: Tensor,
        times: int = WRITES,
        *,
        mask: Tensor | None = None,
    ) -> None:
        """Write labeled sequences, as `times` calls of `adapt` do.

        The loss is cross-entropy or, in regression, the mean squared error.

        Args:
            x: sequences, or the result of `encode`. An empty batch changes nothing.
            y: their labels, integers from 0 to `V - 1`; in regression, their targets.
            times: number of writes. Each one writes the remaining error; the sequences are encoded
                once. Train and evaluate with the same number. A learner trained with several
                writes may be at the chance level after a single one.
            mask: False where a row is padding, which is not written, whatever its target; None if
                there is no padding. Padding of x must be valid sequences, such as repeated ones.

        Shapes:
            x `(…, B, …)`; y `(…, B)` or, in regression, `(…, B, V)`; mask `(…, B)`.

        Raises:
            ArgumentTypeError: y is not a tensor, the labels are not integers, or the mask is not a
                bool tensor.
            ShapeError: x does not have the learner's task axis, or y or the mask does not fit x.
            ArgumentError: a label is out of range, `times` is not a positive integer, or x was
                encoded by another learner or before a gradient step.
            AdaptationError: the memory would become NaN or infinite. It is then unchanged.
        """
        who = "MemoryLearner.write"
        check_tensor(who, "y", y)
        times = check_int(who, "times", times)
        vectors, state = self._vectors(who, x), self.state
        if vectors.shape[-2] == 0:
            return
        members = None
        if not self.module.regression:
            fix = "give the model's store value_size=the number of classes"
            members = one_hot(who, y, vectors, self.module.store.value_size, fix, mask)
        elif mask is not None:
            check_mask(who, mask, vectors.shape[:-1])
        keys = self.module.keys(vectors)
        for _ in range(times):
            lookup = self.module.look_up(vectors, state, keys)
            if members is not None:
                errors = members - lookup.outputs.softmax(-1)
            elif y.shape == lookup.outputs.shape:
                errors = (y - lookup.outputs) * (2 / y.shape[-1])
            else:
                raise ShapeError(
                    f"{who}: y must have the shape of the outputs, {tuple(lookup.outputs.shape)}, "
                    f"got {tuple(y.shape)}; reshape y"
                )
            errors = errors.detach() if self.first_order else errors
            state = self.module.bind(state, lookup, errors, self.in_order, mask)
        self._check_state(who, state)
        make_changes(attribute_changes(self, _state=usable_state(state), _last=None))

    def adapt(self, loss: Tensor, *, mask: Tensor | None = None) -> None:
        """Write the error that a loss assigns to the last outputs; a hybrid also takes a step.

        Args:
            loss: a loss of the last call's outputs, scalar or, for N tasks, `(N,)`. If that call
                had an empty batch, nothing changes.
            mask: as in `write`; the loss must ignore padding too, as those of `functional` do.

        Raises:
            ArgumentTypeError: the loss is not a tensor.
            ShapeError: the loss is neither a scalar nor `(N,)`.
            AdaptationError: the learner was not called since the last write, the loss does not
                depend on its outputs, has no graph or is not finite, gradients are disabled, or the
                memory would become NaN or infinite. The learner is then unchanged.
        """
        who = "MemoryLearner.adapt"
        if self._last is None:
            raise no_outputs_error(who)
        if self._last.outputs.numel() == 0:  # an empty batch: there is nothing to write
            self._last = None
            return
        check_finite_loss(who, loss, self._last.outputs, self.tasks)
        check_loss(who, loss, self.tasks)
        if mask is not None:
            check_mask(who, mask, self._last.outputs.shape[:-1])
        (gradient,) = torch.autograd.grad(
            loss.sum(),
            self._last.outputs,
            create_graph=not self.first_order,
            retain_graph=True,
            allow_unused=True,
        )
        if gradient is None:
            raise unrelated_loss_error(who)
        errors = -gradient
        if self.reduction == "mean":
            errors = errors * (errors.shape[-2] if mask is None else mask.sum(-1)[..., None, None])
        state = self.module.bind(self.state, self._last, errors, self.in_order, mask)
        self._check_state(who, state)
        step: list[Change] = []
        if self.lr is not None:
            step = gradient_step(
                who, self.module, loss, self.adapted or (), self.lr, self.first_order, self.tasks
            )
        make_changes([*step, *attribute_changes(self, _state=state, _last=None)])

    def _vectors(self, who: str, x: Tensor | Encoded) -> Tensor:
        encoder, like = self.module.encoder, self.module.log_lr
        return vectors_of(who, encoder, x, self._batch(), like=like, encode=self._encode)

    def _encode(self, x: Tensor) -> Tensor:
        return self._task_calls.call_module(self.module.encoder, x, self.tasks)
