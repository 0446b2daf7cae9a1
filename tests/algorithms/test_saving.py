"""Learners that are saved, copied, moved and used in inference mode after they adapted."""

import copy
import io
import pickle

import learn2learn
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import LRD2, MAML, R2D2, MemoryLearner, ProtoNet, ProximalRegularizer
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.memory import STORES, HebbianFastWeights, KeyValueMemory, SlotStore
from l2l_rnn.models import MemoryModel, SequenceClassifier

TASKS, WAYS = 4, 3


def reloaded(state):
    """Write a state dict to bytes and read it without unpickling objects."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.fixture(params=[None, TASKS], ids=["one", "tasks"])
def tasks(request):
    return request.param


@pytest.fixture
def sets(batch, tasks):
    """The support set, its labels and the query set, with or without the task axis."""
    x, y, query, _ = batch
    return (x, y, query) if tasks else (x[0], y[0], query[0])


def adapted(learner, sets, steps=2):
    x, y, _ = sets
    for _ in range(steps):
        learner.adapt(cross_entropy(learner(x), y))
    return learner


def continued(learner, sets):
    """Adapt further and return the outputs after each step."""
    x, y, query = sets
    outputs = [learner(query).detach()]
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
        outputs.append(learner(query).detach())
    return torch.stack(outputs)


def starts(learner):
    """The outer loss of learners that have one of their own."""
    return learner.distance().detach() if hasattr(learner, "distance") else torch.zeros(())


# ------------------------------------------------------------------ state dicts


def test_an_adapted_learner_continues_from_its_state_dict(name, make, sets, tasks):
    learner = adapted(make(name).clone(tasks=tasks), sets)
    saved = reloaded(learner.state_dict())
    twin = make(name, seed=5).clone(tasks=tasks)
    twin.load_state_dict(saved)
    assert torch.equal(starts(twin), starts(learner))
    assert torch.equal(continued(twin, sets), continued(learner, sets))


def test_an_adapted_learner_takes_the_state_of_another(name, make, sets, tasks):
    """What it adapted before does not matter."""
    learner = adapted(make(name).clone(tasks=tasks), sets)
    other = adapted(make(name, seed=5).clone(tasks=tasks), sets, steps=3)
    other.load_state_dict(learner.state_dict())
    assert torch.equal(continued(other, sets), continued(learner, sets))


def test_the_initialization_takes_and_gives_an_adapted_state(name, make, batch):
    sets = [part[0] for part in batch[:3]]
    learner = adapted(make(name).clone(), sets)
    base = make(name, seed=5)
    base.load_state_dict(learner.state_dict())
    assert torch.equal(base(sets[2]), learner(sets[2]))
    twin = make(name, seed=6).clone()
    twin.load_state_dict(base.state_dict())
    assert torch.equal(twin(sets[2]), learner(sets[2]))


def test_accumulated_gradients_are_saved(gradient_name, make, sets, tasks):
    def part(learner, rows):
        return cross_entropy(learner(sets[0][..., rows, :]), sets[1][..., rows])

    learner = adapted(make(gradient_name).clone(tasks=tasks), sets)
    learner.accumulate(part(learner, slice(0, 3)))
    twin = make(gradient_name, seed=5).clone(tasks=tasks)
    twin.load_state_dict(reloaded(learner.state_dict()))
    copied = copy.deepcopy(learner)
    for each in (learner, twin, copied):
        each.adapt(part(each, slice(3, 6)))
    for each in (twin, copied):
        assert torch.equal(each(sets[2]), learner(sets[2]))


def test_a_state_dict_can_be_written_by_safetensors(name, make, sets, tasks):
    """safetensors needs plain contiguous tensors that do not share storage."""
    learner = adapted(make(name).clone(tasks=tasks), sets)
    storages = []
    for value in learner.state_dict().values():
        assert type(value) is torch.Tensor
        assert value.is_contiguous()
        assert not value.requires_grad
        storages.append(value.untyped_storage())
        assert len(storages[-1]) == value.nbytes
    assert len({storage.data_ptr() for storage in storages}) == len(storages)


def test_only_adaptation_adds_names(name, make, sets, tasks):
    learner = make(name)
    names = [key for key, _ in (*learner.named_parameters(), *learner.named_buffers())]
    assert sorted(learner.state_dict()) == sorted(names)
    clone = learner.clone(tasks=tasks)
    assert list(clone.state_dict()) == list(learner.state_dict())
    added = [key for key in adapted(clone, sets).state_dict() if key not in names]
    assert all(key.startswith("adaptation.") for key in added)
    assert list(learner.state_dict()) == list(make(name).state_dict())


def test_plain_maml_shares_its_state_dict_with_learn2learn(make, batch):
    sets = [part[0] for part in batch[:3]]
    learner = adapted(make("MAML").clone(), sets)
    theirs = learn2learn.algorithms.MAML(make("MAML", seed=5).module, 0.3).clone()
    theirs.load_state_dict(learner.state_dict())
    assert torch.equal(theirs(sets[2]), learner(sets[2]))
    ours = make("MAML", seed=6).clone()
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(sets[2]), learner(sets[2]))


def test_a_state_without_adaptation_resets_the_learner(name, make, sets, tasks):
    base = make(name)
    learner = adapted(make(name, seed=5).clone(tasks=tasks), sets)
    fresh = base.clone(tasks=tasks)
    learner.load_state_dict(fresh.state_dict())
    assert torch.equal(learner(sets[2]), fresh(sets[2]))
    assert torch.equal(
        continued(adapted(learner, sets), sets), continued(adapted(fresh, sets), sets)
    )


def test_a_learner_inside_another_module(name, make, sets, tasks):
    def outer(seed):
        return nn.ModuleDict({"learner": make(name, seed=seed).clone(tasks=tasks)})

    one, other = outer(0), outer(5)
    adapted(one["learner"], sets)
    other.load_state_dict(reloaded(one.state_dict()))
    assert torch.equal(other["learner"](sets[2]), one["learner"](sets[2]))


def test_the_loaded_tensors_are_copies(make, sets, tasks):
    learner = adapted(make("MemoryLearner").clone(tasks=tasks), sets)
    saved, twin = learner.state_dict(), make("MemoryLearner").clone(tasks=tasks)
    twin.load_state_dict(saved)
    for value in saved.values():
        value.zero_()
    assert learner.state.weights.any()
    assert twin.state.weights.any()


@pytest.mark.parametrize("store", STORES)
def test_every_store_is_saved(store, make, sets, tasks):
    def build(seed):
        torch.manual_seed(seed)
        options = {"slots": 20} if issubclass(STORES[store], SlotStore) else {}
        encoder = make("MAML", seed=seed).module.encoder
        model = MemoryModel(encoder, STORES[store](encoder.output_size, WAYS, **options))
        return MemoryLearner(model.double()).clone(tasks=tasks)

    learner, twin = adapted(build(0), sets), build(5)
    twin.load_state_dict(reloaded(learner.state_dict()))
    assert torch.equal(continued(twin, sets), continued(learner, sets))
    fields = reloaded(twin.module.store.save_state(twin.state))
    assert all(value.is_contiguous() and not value.requires_grad for value in fields.values())
    learner.reset()
    learner.state = fields
    assert torch.equal(learner(sets[2]), twin(sets[2]))


# ------------------------------------------------------------------ states that do not fit


def unchanged(learner, sets, saved, error, match):
    before = learner(sets[2])
    names = list(learner.state_dict())
    with pytest.raises(error, match=match):
        learner.load_state_dict(saved)
    assert list(learner.state_dict()) == names
    assert torch.equal(learner(sets[2]), before)
    adapted(learner, (sets[2], sets[1], sets[2]))
    assert not torch.equal(learner(sets[2]), before)


def test_another_number_of_tasks(name, make, batch):
    x, y, query, _ = batch
    every = {n: (x[:n], y[:n], query[:n]) for n in (2, TASKS)} | {None: (x[0], y[0], query[0])}
    for held, of in [(None, TASKS), (TASKS, None), (2, TASKS)]:
        saving = adapted(make(name, seed=5).clone(tasks=held), every[held])
        saved = saving.state_dict()
        if name.startswith(
            ("ProtoNet", "R2D2", "LRD2", "Distrib")
        ):  # the inputs determine its task axis
            learner = make(name).clone(tasks=of)
            learner.load_state_dict(saved)
            assert torch.equal(learner(every[held][2]), saving(every[held][2]))
            continue
        learner = adapted(make(name).clone(tasks=of), every[of])
        tasks, own = (f"N={n} tasks" if n else "one task" for n in (held, of))
        fix = f"clone(tasks={held})" if held else "clone()"
        unchanged(
            learner,
            every[of],
            saved,
            ShapeError,
            rf"\.load_state_dict: the saved learner holds {tasks}, this learner holds {own}; "
            rf"load it into {fix}".replace("(", r"\(").replace(")", r"\)"),
        )


@pytest.mark.parametrize("kind", [ProtoNet, R2D2, LRD2])
def test_another_number_of_classes(kind, make, sets, tasks):
    name = kind.__name__
    other = kind(make(name).module, WAYS + 2).clone()
    other.write(*sets[:2])
    learner = adapted(make(name).clone(), sets)
    message = rf"^{name}\.load_state_dict: .* a support set of 5 classes, .* ways=3; .* ways=5"
    unchanged(learner, sets, other.state_dict(), ShapeError, message)


def test_another_store(make, sets, tasks):
    def build(store):
        return MemoryLearner(MemoryModel(encoder, store(4, WAYS)).double()).clone(tasks=tasks)

    encoder = make("MAML").module.encoder
    learner = adapted(build(KeyValueMemory), sets)
    saved = adapted(build(HebbianFastWeights), sets).state_dict()
    unchanged(learner, sets, saved, ValueError, "^KeyValueMemory: the state must have keys, values")
    # The states of both stores are a matrix; their parameters differ.
    delta = adapted(make("MemoryLearner").clone(tasks=tasks), sets)
    unchanged(delta, sets, saved, RuntimeError, "gate_weight")


def test_a_learner_without_the_momentum_rejects_a_velocity_of_another_model(make, sets, tasks):
    learner = adapted(make("MAML, momentum").clone(tasks=tasks), sets)
    saved = {
        key.replace("velocity.head", "velocity.tail"): value
        for key, value in learner.state_dict().items()
    }
    unchanged(learner, sets, saved, ValueError, r"got adaptation\.velocity\.tail")


def test_protomaml_with_another_number_of_ways(make, sets, tasks):
    learner, twin = (make("ProtoMAML", seed=s).clone(tasks=tasks) for s in (0, 5))
    start = twin.state_dict()
    learner.write(*sets[:2], ways=WAYS + 1)
    adapted(learner, sets)
    twin.load_state_dict(reloaded(learner.state_dict()))
    assert torch.equal(continued(twin, sets), continued(learner, sets))
    start = {key: value.clone() for key, value in start.items()}
    twin.load_state_dict(start)
    assert not twin.has_prototypes
    assert twin(sets[2]).shape[-1] == WAYS
    saved = learner.state_dict()
    del saved["module.encoder.embedding.weight"]
    unchanged(adapted(twin, sets), sets, saved, RuntimeError, "embedding.weight")


# ------------------------------------------------------------------ copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_an_adapted_learner_continue(name, copied, make, sets, tasks):
    """They are independent, and `backward()` stops at their own tensors."""
    base = make(name)
    learner = adapted(base.clone(tasks=tasks), sets)
    before = learner(sets[2])
    twin = copied(learner)
    assert type(twin) is type(learner)
    assert all(p.is_leaf for p in twin.module.parameters())
    assert torch.equal(starts(twin), starts(learner))
    assert torch.equal(continued(twin, sets), continued(copied(learner), sets))
    assert torch.equal(learner(sets[2]), before)
    assert torch.equal(continued(copied(learner), sets), continued(learner, sets))
    learner(sets[2]).sum().backward()
    assert any(p.grad is not None for p in base.parameters())


def test_a_copy_keeps_tied_parameters_and_the_users_tensors(sets):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
            self.two.weight = self.one.weight
            self.last = None

        def forward(self, x):
            self.last = self.two(self.one(x))  # a hidden state that the model keeps
            return self.last

    x = torch.randn(5, 3)
    learner = MAML(Tied(), 0.1).clone()
    learner.adapt(learner(x).square().mean())
    learner(x)
    twin = copy.deepcopy(learner)
    assert twin.module.one.weight is twin.module.two.weight
    assert torch.equal(twin.module.last, learner.module.last)
    assert twin.module.last.is_leaf


def test_a_model_with_its_own_deepcopy():
    class Copied(nn.Linear):
        def __deepcopy__(self, memo):
            return Copied(3, 2)

    learner = MAML(Copied(3, 2), 0.1)
    assert type(copy.deepcopy(learner)) is MAML


# ------------------------------------------------------------------ dtypes


def test_a_learner_moves_with_its_adaptation(name, make, sets, tasks):
    base = make(name)
    learner = adapted(base.clone(tasks=tasks), sets)
    wanted = learner(sets[2])
    learner.float()
    assert all(
        v.dtype == torch.float32 for v in learner.state_dict().values() if v.is_floating_point()
    )
    torch.testing.assert_close(learner(sets[2]).double(), wanted, rtol=1e-3, atol=1e-4)
    learner(sets[2]).sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in base.parameters())
    twin = make(name, seed=5).clone(tasks=tasks)  # float64
    twin.load_state_dict(learner.state_dict())
    torch.testing.assert_close(twin(sets[2]), wanted, rtol=1e-3, atol=1e-4)
    adapted(learner, sets)  # also further


# ------------------------------------------------------------------ inference mode


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("inside", ["write", "clone and write"])
@pytest.mark.parametrize(
    "name", ["ProtoNet", "R2D2", "LRD2", "ProtoMAML", "MemoryLearner", "MemoryLearner, hybrid"]
)
def test_a_learner_that_wrote_without_gradients_still_adapts(name, mode, inside, make, sets, tasks):
    x, y, query = sets
    learner, wanted = make(name).clone(tasks=tasks), make(name).clone(tasks=tasks)
    with mode():
        if inside == "clone and write" and mode is torch.inference_mode:
            learner = make(name).clone(tasks=tasks)
        learner.write(x, y)
        scores = learner(query)
        learner.state_dict()
    wanted.write(x, y)
    assert torch.equal(scores, wanted(query))
    assert not any(v.is_inference() for v in learner.state_dict().values())
    learner(query).sum().backward()
    assert torch.equal(continued(learner, sets)[0], continued(wanted, sets)[0])
    twin = make(name, seed=5).clone(tasks=tasks)
    twin.load_state_dict(learner.state_dict())
    copy.deepcopy(learner)


@pytest.mark.parametrize("store", STORES)
def test_every_store_is_written_in_inference_mode(store, make, sets, tasks):
    x, y, query = sets
    encoder = make("MAML").module.encoder
    learner = MemoryLearner(MemoryModel(encoder, STORES[store](4, WAYS)).double())
    learner = learner.clone(tasks=tasks)
    with torch.inference_mode():
        learner.write(x, y, times=2)
        learner.state = learner.state
        scores = learner(query)
    assert torch.equal(learner(query), scores)
    adapted(learner, sets)
    learner(query).square().sum().backward()
    assert any(p.grad is not None for p in encoder.parameters())


def test_loading_in_inference_mode(make, sets, tasks):
    learner = adapted(make("MemoryLearner").clone(tasks=tasks), sets)
    twin = make("MemoryLearner", seed=5).clone(tasks=tasks)
    with torch.inference_mode():
        twin.load_state_dict(reloaded(learner.state_dict()))
    assert torch.equal(continued(twin, sets), continued(learner, sets))


def test_the_regularizer_keeps_the_saved_initialization(sets, tasks):
    """The penalty pulls toward the saved learner's initialization, not the new base's."""

    def make(seed):
        torch.manual_seed(seed)
        model = SequenceClassifier(WAYS, vocab_size=9, embedding_size=3, hidden_size=4).double()
        regularizer = ProximalRegularizer(model, 2.0).double()
        return MAML(model, 0.3, regularizer=regularizer).clone(tasks=tasks)

    learner, twin = adapted(make(0), sets), make(5)
    twin.load_state_dict(learner.state_dict())
    assert torch.equal(continued(twin, sets), continued(learner, sets))
