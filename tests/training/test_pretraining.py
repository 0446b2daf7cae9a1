"""Pre-training of encoders, and prototypical networks with a prior made of them."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.data import SequenceDataset
from l2l_rnn.errors import (
    AdaptationError,
    ArgumentError,
    ArgumentTypeError,
    DataError,
    L2LRNNError,
    ShapeError,
)
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import evaluate, pretrain, with_prior
from l2l_rnn.training.pretraining import balanced_weights

STEPS, FEATURES = 5, 2


def dataset(classes=12, each=20, seed=0, first=0):
    """Series whose level says their class, beside a loud second feature."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(each)
    x = torch.randn(len(labels), STEPS, FEATURES, generator=draw) * torch.tensor([0.1, 5.0])
    x[..., 0] += 0.3 * (labels + first).unsqueeze(-1)
    return SequenceDataset(x, labels)


class Pooled(nn.Module):
    """An encoder of torch's own layers, without an `output_size`."""

    def __init__(self, size=6):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, size))
        self.norm, self.drop = nn.BatchNorm1d(size), nn.Dropout(0.1)

    def forward(self, x):
        return self.drop(self.norm(self.layers(x).mean(-2)))


ENCODERS = {
    "recurrent": lambda: SequenceEncoder(input_size=FEATURES, hidden_size=8),
    "torch": Pooled,
    "float64": lambda: Pooled(3).double(),
}
DTYPES = {
    "float64": torch.float64,
}


def make(name):
    torch.manual_seed(0)
    return ENCODERS[name]()


@pytest.mark.parametrize("name", ENCODERS)
def test_a_pretrained_encoder_with_a_prior_tells_unseen_classes_apart(name):
    unseen, train = dataset(8, seed=1, first=0.5), dataset()
    for data in (unseen, train):
        data.sequences = data.sequences.to(DTYPES.get(name, torch.float32))
    scores = []
    for steps in (1, 150):
        encoder = make(name)
        assert pretrain(encoder, train, steps=steps, lr=1e-2) is encoder
        assert not encoder.training
        assert all(p.grad is None for p in encoder.parameters())
        learner = with_prior(encoder, train, ways=4, shrinkage=0.3)
        assert learner.ways == 4
        assert learner.prior.shrinkage == 0.3
        scores.append(evaluate(learner, unseen, 2, 40, ways=4, queries=3).mean)
    assert scores[1] > scores[0] + 0.15


def test_the_best_parameters_on_the_validation_are_kept():
    """A large learning rate spoils a good encoder; the best one is then that of the start."""
    train, validation = dataset(), dataset(8, seed=1, first=0.5)
    options = {"ways": 4, "shots": (1, 2), "validation_tasks": 20, "validate_every": 10}
    encoder = pretrain(make("torch"), train, steps=100, lr=1e-2)
    good = {name: value.clone() for name, value in encoder.state_dict().items()}
    pretrain(encoder, train, steps=10, lr=10.0, validation=validation, **options)
    assert all(torch.equal(value, good[name]) for name, value in encoder.state_dict().items())
    pretrain(encoder, train, steps=10, lr=10.0)
    assert not all(torch.equal(value, good[name]) for name, value in encoder.state_dict().items())


def test_the_seed_alone_determines_the_result():
    found = []
    for seed, disturb in ((0, 1), (0, 2), (1, 1)):
        encoder = make("torch")
        torch.manual_seed(disturb)
        before = torch.random.get_rng_state()
        pretrain(encoder, dataset(), steps=5, seed=seed)
        assert torch.equal(torch.random.get_rng_state(), before)
        found.append(encoder(dataset().sequences))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_classes_of_different_sizes_are_equally_likely():
    labels = torch.tensor([0] * 90 + [1] * 9 + [3])
    weights = balanced_weights(labels)
    sums = [weights[labels == c].sum().item() for c in (0, 1, 3)]
    assert sums == pytest.approx([1.0, 1.0, 1.0])


def test_the_prior_is_fitted_to_at_most_the_given_examples():
    encoder = make("recurrent").eval()
    data = dataset(each=7)
    with torch.no_grad():
        vectors = encoder(data.sequences)
    expected = GaussianPrior(8, 0.5).fit(vectors, data.labels)
    for examples in (7, 60):
        found = with_prior(encoder, data, 3, examples=examples).prior
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.variances, expected.variances, rtol=1e-3, atol=1e-4)
    fewer = with_prior(encoder, data, 3, examples=3).prior
    assert not torch.allclose(fewer.mean, expected.mean)
    again = with_prior(encoder, data, 3, examples=3)
    assert torch.equal(again.prior.mean, fewer.mean)
    assert not torch.equal(with_prior(encoder, data, 3, examples=3, seed=1).prior.mean, fewer.mean)
    assert isinstance(again, ProtoNet)
    assert again.module is encoder


def test_task_sets_of_tokens():
    tasksets = get_tasksets("languages")
    encoder = SequenceEncoder(vocab_size=tasksets.vocab_size, embedding_size=4, hidden_size=4)
    options = {"validation_tasks": 2, "steps": 2, "batch_size": 8}
    pretrain(encoder, tasksets.train, validation=tasksets.validation, **options)
    assert with_prior(encoder, tasksets.train, 5, examples=3).prior.variances.shape == (4,)


def test_under_inference_mode():
    encoder = make("torch")
    start = encoder.layers[0].weight.clone()
    with torch.inference_mode():
        pretrain(encoder, dataset(), steps=2)
        learner = with_prior(encoder, dataset(), 3)
    assert not torch.equal(encoder.layers[0].weight, start)
    assert learner(dataset().sequences[:4]).shape == (4, 3)


BAD = {
    "encoder": ({"encoder": torch.tanh}, ArgumentTypeError, "encoder must be a torch.nn.Module"),
    "steps of states": ({"encoder": nn.Linear(2, 3)}, ShapeError, "one vector for each sequence"),
    "data": ({"dataset": [1, 2]}, ArgumentTypeError, "dataset must be a data.SequenceDataset"),
    "one class": ({"dataset": dataset(1)}, DataError, "at least two classes, got 1"),
    "steps": ({"steps": 0}, ArgumentError, "steps must be a positive integer"),
    "batch": ({"batch_size": 2.5}, ArgumentError, "batch_size must be a positive integer"),
    "lr": ({"lr": float("nan")}, ArgumentError, "lr must be a number above 0"),
    "validation": ({"validation": 3}, ArgumentTypeError, "validation must be a data.Seq"),
    "ways": ({"validation": dataset(3)}, L2LRNNError, "ways must be at most 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_change_nothing(case):
    options, error, message = BAD[case]
    encoder = make("torch").train()
    given = {"encoder": encoder, "dataset": dataset(), "steps": 2, **options}
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(error, match=message):
        pretrain(**given)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert encoder.training


def test_an_infinite_loss_restores_the_encoder():
    class Spoiled(nn.Linear):
        def forward(self, x):
            return super().forward(x.mean(-2)) / (x[..., :1].mean(-2) > 3.2)

    encoder = Spoiled(FEATURES, 3)
    before = encoder.weight.clone()
    with pytest.raises(AdaptationError, match="pretrain: the loss must be finite, got"):
        pretrain(encoder, dataset(), steps=50, batch_size=20)
    assert torch.equal(encoder.weight, before)
