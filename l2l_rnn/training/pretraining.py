"""Pre-training of an encoder on the training classes, and few-shot learners made of it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms import LRD2, GaussianPrior, ProtoNet
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.data import SequenceDataset
from l2l_rnn.data.sampling import sample_by_class
from l2l_rnn.errors import AdaptationError, ArgumentTypeError, DataError, ShapeError
from l2l_rnn.training.evaluation import evaluate

_CHUNK = 500  # sequences that are encoded at once, which bounds the memory
_CLIP = 10.0  # largest norm of the gradient
_QUERIES = 10  # of each class in a validation task


def pretrain(
    encoder: nn.Module,
    dataset: Any,
    *,
    validation: Any = None,
    steps: int = 1000,
    batch_size: int = 100,
    lr: float = 3e-3,
    validate_every: int = 100,
    ways: int = 5,
    shots: tuple[int, ...] = (1, 5),
    validation_tasks: int = 100,
    seed: int = 0,
) -> Any:
    """Train an encoder to classify all classes of a dataset, and return it.

    A linear layer over the encoder's vectors is trained with it, by Adam with a cosine schedule,
    and then left out. All classes are equally likely in a batch, whatever their size. The encoder
    is in evaluation mode afterwards, ready for `with_prior`, or as the start of a meta-learner.

    With `validation`, the encoder is also evaluated by few-shot tasks of other classes, before the
    first step, every `validate_every` steps and at the end: a logistic regression, `LRD2`, of its
    vectors is fitted to each support set. The parameters with the best mean accuracy are kept.

    Args:
        encoder: a module that maps a batch of sequences to a vector each. It is trained in place.
        dataset: the training classes: a `SequenceDataset`, or a `Taskset` of one.
        validation: other classes, likewise; None keeps the parameters of the last step.
        steps: number of batches.
        batch_size: sequences in a batch.
        lr: initial learning rate of Adam.
        validate_every: steps between validations.
        ways, shots, validation_tasks: classes of a validation task, the numbers of examples of each
            class, and the number of tasks for each of these.
        seed: determines the batches, the linear layer and dropout. The global random number
            generators stay as they are.

    Shapes:
        encoder: `(B, S)` or `(B, S, F)` -> `(B, E)`.

    Raises:
        ArgumentTypeError: the encoder is not a module, or the dataset has no classes.
        ArgumentError: a number is out of range.
        DataError: the dataset has fewer than two classes, or the validation has too few.
        ShapeError: the encoder does not return one vector for each sequence.
        AdaptationError: the loss became NaN or infinite. The encoder is then as before.

    Example:
        >>> from l2l_rnn.models import SequenceEncoder
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> tasksets = get_tasksets("languages")
        >>> encoder = SequenceEncoder(vocab_size=tasksets.vocab_size, hidden_size=8)
        >>> encoder = pretrain(encoder, tasksets.train, steps=2, batch_size=10)
        >>> learner = with_prior(encoder, tasksets.train, ways=5, examples=5)
        >>> learner.prior.variances.shape
        torch.Size([8])
    """
    who = "pretrain"
    data = _dataset(who, "dataset", dataset)
    held = None if validation is None else _dataset(who, "validation", validation)
    for name, value in {"steps": steps, "batch_size": batch_size, "ways": ways}.items():
        check_int(who, name, value)
    check_int(who, "validate_every", validate_every)
    check_number(who, "lr", lr, above=0)
    if len(data.grouping.present) < 2:
        raise DataError(
            f"{who}: dataset must have at least two classes, got {len(data.grouping.present)}; "
            "pass the training split"
        )
    like = _first_vector(who, encoder, data)
    before = best = copy.deepcopy(encoder.state_dict())
    highest = -1.0

    def keep_if_best() -> None:
        nonlocal best, highest
        if held is None:
            return
        learner = LRD2(encoder, ways).to(like)
        options: Any = {"ways": ways, "queries": _QUERIES, "seed": seed}
        score = sum(evaluate(learner, held, k, validation_tasks, **options).mean for k in shots)
        if score >= highest:
            best, highest = copy.deepcopy(encoder.state_dict()), score

    devices = [like.device] if like.is_cuda else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        head = nn.Linear(like.shape[-1], len(data.classes)).to(like)
        parameters = [*encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        draw, weights = Generator().manual_seed(seed), balanced_weights(data.labels.cpu())
        keep_if_best()
        for step in range(1, steps + 1):
            items = torch.multinomial(weights, batch_size, replacement=True, generator=draw)
            encoder.train()
            scores = head(encoder(_sequences(data, items, like)))
            loss = F.cross_entropy(scores, data.labels[items].to(like.device))
            if not loss.isfinite():
                encoder.load_state_dict(before)
                raise AdaptationError(
                    f"{who}: the loss must be finite, got {loss.item()} at step {step}; lower lr, "
                    "or look for NaN in the outputs of the encoder"
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, _CLIP)
            optimizer.step()
            schedule.step()
            if step % validate_every == 0 or step == steps:
                keep_if_best()
        optimizer.zero_grad()
    if held is not None:
        encoder.load_state_dict(best)
    return encoder.eval()


def with_prior(
    encoder: nn.Module,
    dataset: Any,
    ways: int,
    shrinkage: float = 0.5,
    examples: int = 60,
    seed: int = 0,
) -> ProtoNet:
    """Return a `ProtoNet` of an encoder, with a Gaussian prior over classes.

    The prior is fitted to the encoder's vectors of the training classes. Nothing is trained.

    Args:
        encoder: a trained encoder; it is put into evaluation mode.
        dataset: the training classes, as in `pretrain`.
        ways: `C`, the number of classes of a task.
        shrinkage: as in `GaussianPrior`.
        examples: maximum number of sequences of each class.
        seed: determines which sequences of larger classes are used.

    Raises:
        ArgumentTypeError, DataError, ShapeError: as in `pretrain`.
        ArgumentError: a number is out of range, or a vector is NaN or infinite.

    Example:
        >>> dataset = SequenceDataset(torch.randn(40, 5, 3), torch.arange(40) // 8)
        >>> learner = with_prior(nn.Flatten(), dataset, ways=2)
        >>> learner.prior.mean.shape
        torch.Size([15])
    """
    return ProtoNet(encoder, ways, fitted_prior(encoder, dataset, shrinkage, examples, seed))


def fitted_prior(
    encoder: nn.Module, dataset: Any, shrinkage: float = 0.5, examples: int = 60, seed: int = 0
) -> GaussianPrior:
    """Return a `GaussianPrior` for an encoder; arguments and errors as in `with_prior`."""
    who = "with_prior"
    data = _dataset(who, "dataset", dataset)
    check_int(who, "examples", examples)
    like = _first_vector(who, encoder.eval(), data)
    prior = GaussianPrior(like.shape[-1], shrinkage).to(like)
    items = sample_by_class(data.labels.cpu(), examples, Generator().manual_seed(seed))
    with torch.no_grad():
        vectors = torch.cat([encoder(_sequences(data, part, like)) for part in items.split(_CHUNK)])
    return prior.fit(vectors, data.labels[items].to(like.device))


def balanced_weights(labels: Tensor) -> Tensor:
    """Return weights of items for `torch.multinomial`, such that all classes are equally likely.

    Shapes:
        labels `(items,)`, the class of each item -> `(items,)` float64.

    Example:
        >>> balanced_weights(torch.tensor([0, 0, 1])).tolist()
        [0.5, 0.5, 1.0]
    """
    return 1.0 / torch.bincount(labels).double()[labels]


def _dataset(who: str, name: str, dataset: Any) -> SequenceDataset:
    found = getattr(dataset, "source", dataset)
    if not isinstance(found, SequenceDataset):
        raise ArgumentTypeError(
            f"{who}: {name} must be a data.SequenceDataset or a Taskset of one, got "
            f"{type(found).__name__}; pass labeled sequences"
        )
    return found


def _first_vector(who: str, encoder: Any, data: SequenceDataset) -> Tensor:
    """Return the vector of one sequence, which has the size, dtype and device of all of them."""
    if not isinstance(encoder, nn.Module):
        raise ArgumentTypeError(
            f"{who}: encoder must be a torch.nn.Module, got {type(encoder).__name__}; pass one "
            "such as models.SequenceEncoder"
        )
    training = encoder.training
    like = next((p for p in encoder.parameters() if p.is_floating_point()), torch.empty(0))
    with torch.no_grad():
        vectors = encoder.eval()(_sequences(data, torch.zeros(1, dtype=torch.int64), like))
    encoder.train(training)
    if not isinstance(vectors, Tensor) or vectors.dim() != 2 or len(vectors) != 1:
        shape = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
        raise ShapeError(
            f"{who}: encoder must return one vector for each sequence, (B, E), got {shape} for one "
            "sequence; add a pooling"
        )
    return vectors


def _sequences(data: SequenceDataset, items: Tensor, like: Tensor) -> Tensor:
    """Return sequences on the device of a tensor, and in its dtype if they are not tokens."""
    found = data._load(items.to(data.sequences.device)).to(like.device)
    return found.to(like.dtype) if found.is_floating_point() else found
