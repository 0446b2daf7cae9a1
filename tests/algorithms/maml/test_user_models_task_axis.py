"""Users' models with many tasks at once, where vmap over torch's operations is not enough."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import L2LRNNError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.nn import convert
from tests.algorithms.maml import user_cases
from tests.algorithms.maml.equality import BATCH, HIDDEN, LR, RUNS, SIZE, TASKS, WAYS, check
from tests.algorithms.maml.user_cases import classified, classifier, masked, ragged, series


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", user_cases.BEYOND_VMAP)
def test_values_and_meta_gradients_equal_learn2learns(name, run):
    check(user_cases.CASES[name], run)


@pytest.mark.parametrize("run", RUNS)
def test_first_order_meta_gradients_of_an_encoder_decoder(run):
    check(user_cases.first_order(user_cases.FIVE["seq2seq"]), run)


# ---------------------------------------------------------------- methods


def test_every_method_has_the_task_axis():
    torch.manual_seed(0)
    maml = MAML(convert(user_cases.Methods().double()), LR)
    (x, y), learner = series(1), maml.clone(tasks=TASKS)
    learner.adapt(learner.loss(x, y))
    clones = [maml.clone() for _ in range(TASKS)]
    for clone, *task in zip(clones, x, y, strict=True):
        clone.adapt(clone.loss(*task))
    z = torch.stack([clone.encode(part) for clone, part in zip(clones, x, strict=True)])
    torch.testing.assert_close(learner.encode(x), z, rtol=1e-10, atol=0)
    scores = torch.stack([clone.head(part) for clone, part in zip(clones, z, strict=True)])
    torch.testing.assert_close(learner.head(z), scores, rtol=1e-10, atol=0)
    torch.testing.assert_close(learner(x), learner.head(learner.encode(x)), rtol=1e-10, atol=0)


def test_a_method_called_by_keyword_only_moves_every_task():
    torch.manual_seed(0)
    learner = MAML(convert(user_cases.Methods().double()), LR).clone(tasks=TASKS)
    before = [p.detach().clone() for p in learner.parameters()]
    x, y = series(1)
    learner.adapt(cross_entropy(learner.head(input=learner.encode(x=x)), y))
    for old, new in zip(before, learner.parameters(), strict=True):
        moved = (new - old).reshape(TASKS, -1).abs().sum(1)
        assert (moved > 0).all()


def test_attributes_that_are_not_methods_are_the_models():
    model = convert(user_cases.Methods())
    model.note = "mine"
    learner = MAML(model, LR).clone(tasks=TASKS)
    assert learner.note == "mine"
    assert learner.scale.shape == (TASKS,)
    assert learner.head.out_features == WAYS


# ---------------------------------------------------------------- kept state


def test_kept_state_can_be_read_saved_and_set():
    torch.manual_seed(0)
    maml = MAML(convert(user_cases.KeptState().double()), LR)
    (x, y), learner = series(1), maml.clone(tasks=TASKS)
    clones = [maml.clone() for _ in range(TASKS)]
    learner.adapt(cross_entropy(learner(x), y))
    for clone, *task in zip(clones, x, y, strict=True):
        clone.adapt(cross_entropy(clone(task[0]), task[1]))
    for number in range(2):  # h and c
        kept = learner.module.state[number]
        assert kept.shape == (TASKS, 1, BATCH, HIDDEN)
        expected = torch.stack([clone.module.state[number] for clone in clones])
        torch.testing.assert_close(kept, expected, rtol=1e-10, atol=0)
    file = io.BytesIO()
    torch.save([s.detach() for s in learner.module.state], file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    expected = learner(x)
    learner.module.state = tuple(saved)
    torch.testing.assert_close(learner(x), expected, rtol=1e-10, atol=0)


def test_a_learner_with_kept_state_can_be_cloned_and_copied():
    torch.manual_seed(0)
    model = convert(user_cases.KeptState().double())
    x, _ = series(1)
    learner = MAML(model, LR).clone(tasks=TASKS)
    with torch.no_grad():
        learner(x)
        wanted = copy.deepcopy(learner)(x)
        torch.testing.assert_close(learner.clone()(x), wanted, rtol=0, atol=0)
    assert model.state is None


# ---------------------------------------------------------------- what cannot run


class InPlace(user_cases.Recurrent):
    """Writes the outputs into a tensor made before."""

    def forward(self, x):
        y = self.recurrence(x)[0]
        kept = torch.zeros(len(x), WAYS, dtype=x.dtype)
        for step in range(x.shape[1]):
            kept[:, :] += self.head(y[:, step])
        return kept


class DataDependent(user_cases.Recurrent):
    """Stops where the data say so."""

    def forward(self, x):
        y = self.recurrence(x)[0]
        steps = 1 + int(x.abs().mean() > 0.8) + x[0, 0, 0].gt(0).item()
        return self.head(y[:, steps])


class Packed(user_cases.Masked):
    """Packs ragged sequences, as torch's tutorials do."""

    def forward(self, x, lengths, mask):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed)
        return self.head(torch.cat([last[0], last[0]], 1))


CANNOT_RUN = {
    "in place": classifier(lambda: InPlace(nn.GRU(SIZE, HIDDEN, batch_first=True))),
    "data-dependent": classifier(lambda: DataDependent()),
    "packed": user_cases.Case(Packed, ragged, masked),
}


@pytest.mark.parametrize("name", CANNOT_RUN)
def test_one_task_runs_what_vmap_cannot(name):
    check(CANNOT_RUN[name], "one")


@pytest.mark.parametrize("name", CANNOT_RUN)
def test_what_vmap_cannot_run_is_right_after_a_warning(name):
    case = CANNOT_RUN[name]
    with pytest.warns(UserWarning, match=f"MAML: {type(case.make()).__name__} runs task by task"):
        check(case, "many")


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_torch_layer_that_was_not_converted_is_named(layer):
    body = user_cases.Recurrent(layer(SIZE, HIDDEN, batch_first=True))
    maml = MAML(nn.Sequential(body).double(), LR)
    with pytest.raises(L2LRNNError) as caught:
        classified(maml.clone(tasks=TASKS), series(1))
    for name in ("0.recurrence", layer.__name__, "convert"):
        assert name in str(caught.value)
