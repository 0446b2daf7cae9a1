"""Configurations: objects are described as JSON and constructed again."""

import inspect
import json

import pytest
import torch

from l2l_rnn import algorithms, memory, models, nn
from l2l_rnn.algorithms import MAML, GaussianPrior, MAMLPlusPlus, ProtoNet
from l2l_rnn.configuration import (
    CONFIGURABLE,
    build,
    configurable,
    configuration_of,
    differences,
    unknown_parts,
)
from l2l_rnn.errors import ArgumentError, UnknownNameError
from l2l_rnn.models import SequenceClassifier, SequenceEncoder
from tests.training.learners import LEARNERS

BASES = {nn.RecurrentLayer}


def is_base(cls):
    """Return whether a class is only a base of others: it is abstract, or has public subclasses."""
    return inspect.isabstract(cls) or cls in BASES


def classifier():
    return SequenceClassifier(3, input_size=2, hidden_size=5, pooling="max")


def encoder():
    return SequenceEncoder(vocab_size=9, hidden_size=4, bidirectional=True)


PUBLIC = [
    cls
    for package in (nn, memory, models, algorithms)
    for cls in (getattr(package, name) for name in package.__all__)
    if isinstance(cls, type) and issubclass(cls, torch.nn.Module) and not is_base(cls)
]


@pytest.mark.parametrize("cls", PUBLIC)
def test_public_modules_are_configurable(cls):
    assert CONFIGURABLE.get(cls.__name__) is cls


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_a_learner_is_built_again_from_json(make):
    learner = make()
    configuration = json.loads(json.dumps(configuration_of(learner)))
    assert not list(unknown_parts(configuration))
    twin = build(configuration)
    assert type(twin) is type(learner)
    assert configuration_of(twin) == configuration
    shapes = {name: value.shape for name, value in learner.state_dict().items()}
    assert {name: value.shape for name, value in twin.state_dict().items()} == shapes


def test_a_prior_set_later_is_described():
    learner = ProtoNet(encoder(), 3)
    learner.prior = GaussianPrior(8, shrinkage=0.9)
    prior = configuration_of(learner)["arguments"]["prior"]
    assert prior == {"class": "GaussianPrior", "arguments": {"size": 8, "shrinkage": 0.9}}


def test_a_changed_argument_is_described():
    learner = MAML(classifier(), lr=0.1)
    learner.lr, learner.first_order = 0.5, True
    twin = build(configuration_of(learner))
    assert (twin.lr, twin.first_order) == (0.5, True)
    learner = MAMLPlusPlus(classifier(), 0.1, steps=3)
    learner.momentum = 0.9  # an argument of the base class
    assert build(configuration_of(learner)).momentum == 0.9
    learner.steps_taken = 4  # not an argument
    assert "steps_taken" not in configuration_of(learner)["arguments"]


def test_dicts_with_the_keys_of_a_description_are_kept():
    @configurable
    class KeptDict(torch.nn.Module):
        def __init__(self, options):
            super().__init__()
            self.options = options

    for options in ({"dtype": "wide"}, {"unknown": 1}, {"class": 1, "arguments": 2}, {"dict": {}}):
        configuration = json.loads(json.dumps(configuration_of(KeptDict(options))))
        assert build(configuration).options == options


def test_positional_arguments_need_names():
    with pytest.raises(ArgumentError, match="must have names"):

        @configurable
        class Positional(torch.nn.Module):
            def __init__(self, *sizes):
                super().__init__()


def test_the_model_of_a_user_stands_for_its_unknown_class():
    model = torch.nn.Linear(3, 2)
    configuration = configuration_of(MAML(model, 0.1))
    assert list(unknown_parts(configuration)) == ["torch.nn.modules.linear.Linear"]
    with pytest.raises(ArgumentError, match="model="):
        build(configuration)
    assert build(configuration, model).module is model


def test_a_subclass_is_not_taken_for_its_parent():
    class Own(SequenceEncoder):
        pass

    assert "unknown" in configuration_of(Own(input_size=2))


def test_only_registered_classes_are_built():
    with pytest.raises(UnknownNameError, match="configurable class"):
        build({"class": "os.system", "arguments": {"command": "true"}})
    with pytest.raises(ArgumentError, match="constructor"):
        build({"class": "SequenceEncoder", "arguments": {"command": "true"}})


def test_a_name_is_registered_once():
    with pytest.raises(ArgumentError, match="already registered"):
        configurable(type("SequenceEncoder", (), {}))


def test_differences_name_each_path():
    one = configuration_of(classifier())
    other = configuration_of(SequenceClassifier(4, input_size=2, hidden_size=5))
    assert differences(one, other) == ["arguments.ways: 3, 4", "arguments.pooling: 'max', nothing"]
    assert differences([1, {"a": 2}], [1, {"a": 3}]) == ["[1].a: 2, 3"]
    assert differences({"a": True, "b": float("nan")}, {"a": 1, "b": float("nan")}) == [
        "a: True, 1"
    ]
