"""User states are small, go through bytes without a change, and fit one model only."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2l_rnn.algorithms import MAML, MemoryLearner, ProtoNet, TfIdfLearner, select_task
from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, L2LRNNError, ShapeError
from l2l_rnn.memory import KeyValueMemory
from l2l_rnn.models import MemoryModel, SequenceEncoder
from l2l_rnn.training import adapted, load_user, load_users, save_user, save_users
from l2l_rnn.training.saved.tensors import from_bytes, to_bytes
from tests.training.learners import LEARNERS, WITH_LEARN2LEARN, encoder, support


def make(name):
    torch.manual_seed(0)
    return WITH_LEARN2LEARN[name]()


@pytest.mark.parametrize("given_base", [False, True])
@pytest.mark.parametrize("name", WITH_LEARN2LEARN)
def test_outputs_are_the_same_to_the_last_bit(name, given_base):
    base = make(name)
    x, y = support()
    learner = adapted(base, x, y, steps=2)
    data = save_user(learner, base if given_base else None)
    loaded = load_user(base, data)
    assert type(loaded) is type(base)
    assert torch.equal(loaded(x), learner(x))
    assert not torch.equal(loaded(x), base.clone()(x))
    # The loaded learner continues in the same way, and is saved to the same bytes.
    again = save_user(loaded, base if given_base else None)
    assert again == data
    for one in (learner, loaded):
        if isinstance(one, MemoryLearner) and one.lr is None:
            one.write(x, y, 1)
        elif isinstance(one, SupportLearner):
            one.write(x, y)
        else:
            one.adapt(torch.nn.functional.cross_entropy(one(x), y))
    assert torch.equal(loaded(x), learner(x))


@pytest.mark.parametrize("given_base", [False, True])
@pytest.mark.parametrize("name", LEARNERS)
def test_each_task_is_saved_alone(name, given_base):
    base = make(name)
    x, y = support(tasks=4)
    learner = adapted(base, x, y, tasks=4, steps=2)
    outputs = learner(x)
    given_base = base if given_base else None
    whole = load_user(base, save_user(learner, given_base))
    assert whole.tasks == 4
    assert torch.equal(whole(x), outputs)
    users = save_users(learner, given_base)
    together = load_users(base, users)
    assert together.tasks == 4
    assert torch.equal(together(x), outputs)
    assert save_users(together, given_base) == users
    for n, data in enumerate(users):
        torch.testing.assert_close(load_user(base, data)(x[n]), outputs[n])
    if isinstance(base, MAML):
        one = select_task(learner, 2)
        assert torch.equal(load_user(base, save_user(one, given_base))(x[2]), one(x[2]))
        assert torch.equal(load_user(base, users[2])(x[2]), one(x[2]))


@pytest.mark.parametrize("name", LEARNERS)
def test_the_base_learner_stays_unchanged_and_gets_no_gradients(name):
    base = make(name)
    before = copy.deepcopy(base.state_dict())
    x, y = support()
    loaded = load_user(base, save_user(adapted(base, x, y)))
    loaded(x).sum().backward()
    assert all(torch.equal(base.state_dict()[key], value) for key, value in before.items())
    if isinstance(base, MAML) and base.adapted is None:
        assert all(p.grad is None for p in base.module.parameters())


def test_a_prototype_state_is_small():
    torch.manual_seed(0)
    base = ProtoNet(SequenceEncoder(vocab_size=100, hidden_size=128, bidirectional=True), 5)
    learner = base.clone()
    learner.write(torch.randint(2, 99, (25, 12)), torch.arange(25) % 5)
    assert 5 * 256 * 4 < len(save_user(learner)) < 5 * 256 * 4 + 600


def test_only_adapted_parameters_are_saved():
    base = make("ANIL")
    x, y = support()
    tensors, _ = from_bytes("test", save_user(adapted(base, x, y)), "state")
    assert set(tensors) == {"tensor.module.head.weight", "tensor.module.head.bias"}
    blank, _ = from_bytes("test", save_user(base.clone()), "state")
    assert blank == {}


@pytest.mark.parametrize("name", ["ProtoNet", "R2D2", "LRD2", "stacked"])
def test_users_with_other_numbers_of_classes_and_examples_are_padded(name):
    base = make(name)
    users, queries, wanted = [], [], []
    for ways in (2, 5, 3):
        learner = base.clone()
        learner.ways = ways
        x, y = torch.randint(2, 9, (10, 5)), torch.arange(10) % ways
        learner.write(x[: 2 * ways], y[: 2 * ways])
        learner.write(x, y)
        users.append(save_user(learner, base))
        assert load_user(base, users[-1]).ways == ways
        queries.append(x)
        wanted.append(learner(x))
    users.append(save_user(base.clone(), base))  # one who has not adapted
    queries.append(x)
    scores = load_users(base, users)(torch.stack(queries))
    assert scores.shape == (4, 10, 5)
    for n, one in enumerate(wanted):
        torch.testing.assert_close(scores[n, :, : one.shape[-1]], one)
        assert scores[n].softmax(-1)[:, one.shape[-1] :].sum() < 1e-40
    torch.testing.assert_close(scores[3].softmax(-1), torch.full((10, 5), 0.2))


def test_blank_and_filled_memories_go_together():
    base = make("key-value")
    x, y = support()
    learner = adapted(base, x, y)
    both = load_users(base, [save_user(base.clone()), save_user(learner)])
    outputs = both(x.expand(2, *x.shape))
    torch.testing.assert_close(outputs[1], learner(x))
    torch.testing.assert_close(outputs[0], base.clone()(x))
    assert load_users(base, [save_user(base.clone())] * 2).tasks == 2


def test_users_with_other_numbers_of_steps():
    x, y = support()
    base = make("MAML")
    learners = [adapted(base, x, y, steps=steps) for steps in (1, 3)]
    both = load_users(base, [*map(save_user, learners), save_user(base.clone())])
    outputs = both(x.expand(3, *x.shape))
    for n, one in enumerate([*learners, base]):
        torch.testing.assert_close(outputs[n], one(x))
    base = make("MAML++")  # its learning rates depend on the number
    users = [save_user(adapted(base, x, y, steps=steps)) for steps in (1, 2)]
    with pytest.raises(ArgumentError, match="same number of steps"):
        load_users(base, users)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_state_of_another_model_is_refused(name):
    base, x_y = make(name), support()
    data = save_user(adapted(base, *x_y))
    other = make(name)
    load_user(other, data)  # the same weights
    if name == "TfIdf":  # it has no weights
        other = TfIdfLearner(3, (1, 3), head="ridge")
    else:
        with torch.no_grad():
            next(p for n, p in other.named_parameters() if p.dim() == 2).add_(1e-3)
    if name == "all hybrid":  # nothing is shared: the state has every parameter
        load_user(other, data)
        data = save_user(adapted(base, *x_y), base)
    with pytest.raises(ArgumentError, match="other weights"):
        load_user(other, data)


def test_a_state_of_another_architecture_is_refused():
    torch.manual_seed(0)
    x, y = support()
    base = ProtoNet(encoder(), 3)
    data = save_user(adapted(base, x, y))
    other = ProtoNet(
        SequenceEncoder(
            vocab_size=9, embedding_size=3, hidden_size=4, bidirectional=True, pooling="max"
        ),
        3,
    )
    other.load_state_dict(base.state_dict())
    with pytest.raises(ArgumentError, match="other weights, settings"):
        load_user(other, data)
    with pytest.raises(ArgumentError, match="of a ProtoNet"):
        load_user(make("MAML"), data)
    more = ProtoNet(base.module, 7)  # the number of classes is the user's
    assert load_user(more, data).ways == 3


def test_buffers_that_a_model_assigns_are_saved_with_a_base():
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(3, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls = self.calls + 1
            return self.linear(x) * self.calls

    torch.manual_seed(0)
    base = MAML(Counting(), 0.1)
    x, y = torch.randn(6, 3), torch.arange(6) % 3
    learner = adapted(base, x, y, steps=3)
    with pytest.raises(ArgumentError, match="buffers"):
        load_user(base, save_user(learner))
    loaded = load_user(base, save_user(learner, base))
    assert loaded.module.calls == 3
    assert torch.equal(loaded(x), learner(x))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["MAML", "ProtoMAML", "ProtoNet", "key-value", "all hybrid"])
def test_a_state_loaded_without_gradients_can_adapt_later(name, mode):
    base = make(name)
    x, y = support()
    learner = adapted(base, x, y)
    data = save_user(learner, base)
    with mode():
        loaded = load_user(base, data)
        both = load_users(base, [data, data])
        assert torch.equal(loaded(x), learner(x))
        assert save_user(loaded, base) == data
    y = (y + 1) % 3  # other labels than before
    for one, inputs, labels in ((loaded, x, y), (both, x.expand(2, -1, -1), y.expand(2, -1))):
        before = one(inputs).detach()
        one.adapt(torch.nn.functional.cross_entropy(one(inputs).flatten(0, -2), labels.flatten()))
        assert not torch.equal(one(inputs), before)


def test_a_leading_axis_of_prototypes_is_that_of_tasks():
    base = make("ProtoNet")
    x, y = support(tasks=3)
    learner = base.clone()  # without tasks=
    learner.write(x, y)
    users = save_users(learner)
    assert torch.equal(load_users(base, users)(x), learner(x))
    assert torch.equal(load_user(base, save_user(learner))(x), learner(x))


def test_tied_parameters_stay_tied():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Linear(3, 3)
            self.two = torch.nn.Linear(3, 3)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x))

    torch.manual_seed(0)
    base = MAML(Tied(), 0.1)
    x, y = torch.randn(6, 3), torch.arange(6) % 3
    learner = adapted(base, x, y)
    loaded = load_user(base, save_user(learner))
    assert loaded.module.two.weight is loaded.module.one.weight
    assert torch.equal(loaded(x), learner(x))


def test_a_learner_of_another_base_is_refused():
    base, other = make("MAML"), LEARNERS["MAML"]()
    x, y = support()
    for wrong in (other, make("ProtoNet")):
        with pytest.raises(ArgumentError, match="clone of base"):
            save_user(adapted(base, x, y), wrong) if wrong is not other else save_user(
                adapted(LEARNERS["ProtoNet"](), x, y), make("ProtoNet")
            )


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda base, data: save_user(torch.nn.Linear(2, 2)), ArgumentTypeError, "learner"),
        (lambda base, data: save_user(base, torch.nn.Linear(2, 2)), ArgumentTypeError, "learner"),
        (lambda base, data: save_users(base.clone()), ArgumentError, "save_user,"),
        (lambda base, data: load_user(base, "text"), ArgumentTypeError, "bytes"),
        (lambda base, data: load_user(None, data), ArgumentTypeError, "learner"),
        (lambda base, data: load_user(base, b""), DataError, "0 bytes"),
        (lambda base, data: load_user(base, b"\x80\x04."), DataError, "pickle"),
        (lambda base, data: load_user(base, data[:-1]), DataError, "safetensors"),
        (lambda base, data: load_user(base, data[:-1] + b"?"), DataError, "damaged"),
        (lambda base, data: load_user(base.clone(tasks=2), data), ArgumentError, "hold tasks"),
        (lambda base, data: load_users(base, []), ArgumentError, "at least one"),
        (lambda base, data: load_users(base, data), ArgumentTypeError, "list"),
        (
            lambda base, data: load_users(base, [data, save_user(base.clone(tasks=2))]),
            ArgumentError,
            "user 1 must be the state of one task",
        ),
        (lambda base, data: load_user(base, to_bytes({}, {})), DataError, "other safetensors"),
        (
            lambda base, data: load_user(
                base, to_bytes({}, {"format": "l2l_rnn user", "version": "2"})
            ),
            DataError,
            "format version 1, got '2'",
        ),
    ],
)
def test_errors_name_what_is_wrong(call, error, match):
    base = make("ProtoNet")
    with pytest.raises(error, match=match):
        call(base, save_user(adapted(base, *support())))


def test_memories_of_other_sizes_are_refused():
    x, y = support()
    torch.manual_seed(0)
    encoder_ = encoder()
    data = save_user(adapted(MemoryLearner(MemoryModel(encoder_, KeyValueMemory(8, 3))), x, y))
    other = MemoryLearner(MemoryModel(encoder_, KeyValueMemory(8, 3, slots=7)))
    with pytest.raises(ArgumentError, match="settings"):
        load_user(other, data)


def test_protomaml_users_with_other_classes_are_refused_together():
    base, users = make("ProtoMAML"), []
    for ways in (2, 3):
        learner = base.clone()
        x, y = support(ways=ways)
        learner.write(x, y, ways=ways)
        users.append(save_user(learner))
        assert torch.equal(load_user(base, users[-1])(x), learner(x))
    with pytest.raises(ShapeError, match="group users by their number of classes"):
        load_users(base, users)


@settings(max_examples=300, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.floats(0, 1))
def test_damaged_bytes_are_refused(at, byte, cut):
    base = BASE
    damaged = bytearray(DATA)
    damaged[int(at * len(damaged))] = byte
    damaged = bytes(damaged[: int((0.5 + cut) * len(damaged))])
    if damaged == DATA:
        assert torch.equal(load_user(base, damaged).prototypes, PROTOTYPES)
        return
    with pytest.raises(L2LRNNError):
        load_user(base, damaged)


BASE = make("ProtoNet")
_LEARNER = adapted(BASE, *support())
DATA, PROTOTYPES = save_user(_LEARNER), _LEARNER.prototypes
