"""The `repr` of every layer equals that of torch's."""

import itertools

import pytest
from torch import nn

import l2l_rnn

OPTIONS = {
    "num_layers": 2,
    "bias": False,
    "batch_first": True,
    "dropout": 0.5,
    "bidirectional": True,
    "proj_size": 2,
    "nonlinearity": "relu",
}


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_repr_equals_torchs(kind):
    """For every combination of constructor options."""
    theirs = getattr(nn, kind)
    ours = getattr(l2l_rnn.nn, kind)
    only = {"nonlinearity": "RNN", "proj_size": "LSTM"}
    names = [name for name in OPTIONS if only.get(name, kind) == kind]
    for count in range(len(names) + 1):
        for chosen in itertools.combinations(names, count):
            options = {"num_layers": 2} if "dropout" in chosen else {}
            options |= {name: OPTIONS[name] for name in chosen}
            layer = theirs(3, 4, **options)
            assert repr(ours(3, 4, **options)) == repr(layer)
            assert repr(l2l_rnn.nn.convert(layer)) == repr(layer)


@pytest.mark.parametrize(
    ("kind", "arguments", "options"),
    [
        ("Linear", (3, 4), {}),
        ("Linear", (3, 4), {"bias": False}),
        ("Embedding", (9, 4), {}),
        ("Embedding", (9, 4), {"padding_idx": 0}),
        ("LayerNorm", (3,), {}),
        ("LayerNorm", ((2, 3),), {"eps": 0.1}),
        ("LayerNorm", (3,), {"elementwise_affine": False}),
        ("LayerNorm", (3,), {"bias": False}),
    ],
)
def test_repr_of_other_layers_equals_torchs(kind, arguments, options):
    theirs = getattr(nn, kind)(*arguments, **options)
    assert repr(getattr(l2l_rnn.nn, kind)(*arguments, **options)) == repr(theirs)


def test_repr_of_every_layer_shows_every_option(layer_class):
    layer = layer_class(3, 4, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)
    assert repr(layer) == (
        f"{layer_class.__name__}(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.5, "
        "bidirectional=True)"
    )
