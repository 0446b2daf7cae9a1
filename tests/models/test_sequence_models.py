"""Encoders and classifiers, with every layer, every pooling and both kinds of input."""

import copy
import itertools
import pickle

import pytest
import torch
from torch import nn

from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.models.encoder import POOLINGS
from l2l_rnn.nn import CELLS, LearnedDropout
from tests.models.sequences import BATCH, KINDS, LENGTHS, STEPS, TASKS, data, make

COMBINATIONS = list(itertools.product(CELLS, POOLINGS, [False, True], KINDS))


@pytest.fixture(
    params=COMBINATIONS, ids=lambda c: f"{c[0]}-{c[1]}-{'two' if c[2] else 'one'}-{c[3]}"
)
def made(request):
    """A classifier and its kind of input."""
    cell, pooling, two_ways, kind = request.param
    return make(kind, cell=cell, pooling=pooling, bidirectional=two_ways), kind


def flat_gradients(outputs, model):
    return torch.autograd.grad(outputs.sin().sum(), list(model.parameters()))


def test_padding_changes_neither_outputs_nor_gradients(made):
    model, kind = made
    results = []
    for steps in (STEPS, STEPS + 5):
        outputs = model(data(kind, steps)[0])
        results.append([outputs, *flat_gradients(outputs, model)])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_a_batch_equals_its_sequences_one_at_a_time(made):
    model, kind = made
    x = data(kind)[0]
    apart = torch.cat([model(x[b : b + 1, :n]) for b, n in enumerate(LENGTHS[0])])
    outputs = model(x)
    assert outputs.shape == (BATCH, 5)
    torch.testing.assert_close(outputs, apart, rtol=1e-10, atol=1e-12)
    got, wanted = flat_gradients(outputs, model), flat_gradients(apart, model)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_shared_parameters_and_axes_before_the_batch(made):
    model, kind = made
    x = data(kind)
    wanted = torch.stack([model(one) for one in x])
    torch.testing.assert_close(model(x), wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(model(x[None]), wanted[None], rtol=1e-10, atol=1e-12)


def with_tasks(model):
    """Return the model with parameters (N, …), all different, and one model per task."""
    singles = [copy.deepcopy(model) for _ in range(TASKS)]
    generator = torch.Generator().manual_seed(5)
    for single in singles:
        for p in single.parameters():
            p.data += 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    many = copy.deepcopy(model)
    assert knows_tasks(many)
    expand_parameters(many, TASKS)
    for child, *alike in zip(many.modules(), *(s.modules() for s in singles), strict=True):
        for name, p in child._parameters.items():
            if p is not None:
                stacked = torch.stack([a._parameters[name].detach() for a in alike])
                assert stacked.shape == p.shape
                child._parameters[name] = stacked.requires_grad_()
    return many, singles


def test_parameters_for_each_task_equal_a_loop(made):
    model, kind = made
    many, singles = with_tasks(model)
    x = data(kind)
    outputs = many(x)
    apart = torch.stack([single(x[n]) for n, single in enumerate(singles)])
    torch.testing.assert_close(outputs, apart, rtol=1e-10, atol=1e-12)
    outputs.sin().sum().backward()
    apart.sin().sum().backward()
    for (name, p), *alike in zip(
        many.named_parameters(), *(s.parameters() for s in singles), strict=True
    ):
        wanted = torch.stack([a.grad for a in alike])
        torch.testing.assert_close(p.grad, wanted, rtol=1e-9, atol=1e-11, msg=name)
    torch.testing.assert_close(many(data(kind, STEPS + 3)), outputs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_vmap_equals_a_loop(kind, cell, pooling):
    model = make(kind, cell=cell, pooling=pooling, bidirectional=True)
    mapped = torch.func.vmap(model)(data(kind))
    torch.testing.assert_close(mapped, model(data(kind)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELLS)
def test_several_layers(kind, cell):
    model = make(kind, cell=cell, num_layers=2, bidirectional=True)
    x = data(kind)[0]
    apart = torch.cat([model(x[b : b + 1, :n]) for b, n in enumerate(LENGTHS[0])])
    torch.testing.assert_close(model(x), apart, rtol=1e-10, atol=1e-12)


def test_a_padding_token_inside_a_sequence_is_a_step():
    model = make()
    inner, plain = torch.tensor([[3, 0, 5, 0]]), torch.tensor([[3, 5, 0, 0]])
    assert not torch.equal(model(inner), model(plain))
    torch.testing.assert_close(model(inner), model(inner[:, :3]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_dropout_acts_in_training_only(pooling):
    model, plain = make(dropout=0.5, pooling=pooling), make(pooling=pooling)
    x = data("tokens")[0]
    model.eval()
    assert torch.equal(model(x), plain(x))
    model.train()
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("module", [nn.Dropout(0.5), LearnedDropout(0.5)])
def test_dropout_may_be_a_module(module):
    model, plain = make(dropout=module, num_layers=2), make(num_layers=2)
    x = data("tokens")[0]
    assert model.encoder.dropout is module
    assert model.encoder.recurrence.dropout == 0
    assert not torch.equal(model.train()(x), model(x))
    missing = model.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert set(missing) <= {"encoder.dropout.log_odds"}
    assert torch.equal(model.eval()(x), plain(x))


def test_a_classifier_is_an_encoder_and_a_head():
    model = make(pooling="attention", bidirectional=True)
    x = data("tokens")[0]
    assert isinstance(model.encoder, SequenceEncoder)
    vectors = model.encoder(x)
    assert vectors.shape == (BATCH, model.encoder.output_size) == (BATCH, 8)
    assert torch.equal(model.head(vectors), model(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions(dtype):
    for kind in KINDS:
        model = make(kind, pooling="max").to(dtype)
        x = data(kind)[0]
        outputs = model(x if kind == "tokens" else x.to(dtype))
        assert outputs.dtype == dtype
        wanted = make(kind, pooling="max")(x)
        torch.testing.assert_close(outputs.double(), wanted, rtol=0.05, atol=0.02)


def test_small_integers_are_tokens():
    model, x = make(), data("tokens")[0]
    assert torch.equal(model(x.int()), model(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(copied):
    model, x = make(bidirectional=True, pooling="attention"), data("tokens")[0]
    other = copied(model)
    assert torch.equal(other(x), model(x))
    fresh = make(bidirectional=True, pooling="attention")
    for p in fresh.parameters():
        p.data.zero_()
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(fresh(x), model(x))
