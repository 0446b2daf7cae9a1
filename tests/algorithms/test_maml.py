"""MAML against learn2learn's own, one task at a time and many at once."""

import contextlib
import copy
import pickle
import warnings

import learn2learn
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import GRU, Embedding, Linear, convert

WAYS, TASKS = 3, 4


class TorchClassifier(nn.Module):
    """What a learn2learn user writes: torch's layers, the mean of all outputs, a head."""

    def __init__(self, layer=nn.LSTM, **options):
        super().__init__()
        self.lstm = layer(2, 5, batch_first=True, **options)
        self.head = nn.Linear(5 * (1 + options.get("bidirectional", False)), WAYS)

    def forward(self, x):
        return self.head(self.lstm(x)[0].mean(-2))


class TaskClassifier(TorchClassifier):
    """The same, said to take a task axis."""

    task_axis = True


def ours_and_theirs(dtype=torch.float64, layer=nn.LSTM, **options):
    """Return our model and torch's with the same parameters."""
    torch.manual_seed(0)
    theirs = TorchClassifier(layer, **options).to(dtype)
    ours = TaskClassifier(layer, **options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return convert(ours), theirs


def tasks(dtype=torch.float64, count=TASKS, seed=1):
    """Draw support and query sets `(N, B, S, F)` with labels `(N, B)`."""
    generator = torch.Generator().manual_seed(seed)
    batch = []
    for _ in range(2):
        batch.append(
            torch.randn(count, 6, 4, 2, generator=generator, dtype=torch.float64).to(dtype)
        )
        batch.append(torch.arange(6).remainder(WAYS).expand(count, 6))
    return batch


def loop(maml, batch, steps, average=nn.functional.cross_entropy):
    """Run learn2learn's loop: adapt to each task, sum the query losses, backpropagate."""
    losses = []
    for x, y, query_x, query_y in zip(*batch, strict=True):
        learner = maml.clone()
        for _ in range(steps):
            learner.adapt(average(learner(x), y))
        losses.append(average(learner(query_x), query_y))
        losses[-1].backward()
    return torch.stack(losses).detach()


def at_once(maml, batch, steps):
    """Run the same with all tasks in one learner."""
    x, y, query_x, query_y = batch
    learner = maml.clone(tasks=len(x))
    for _ in range(steps):
        learner.adapt(cross_entropy(learner(x), y))
    losses = cross_entropy(learner(query_x), query_y)
    losses.sum().backward()
    return losses.detach()


@contextlib.contextmanager
def learn2learn_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters()}


def close(ours, theirs, tolerance):
    """Compare two dictionaries of tensors relative to each tensor's largest value."""
    assert list(ours) == list(theirs)
    for name in ours:
        error = (ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()
        assert error <= tolerance, f"{name}: relative error {error:.1e}"


def same_parameters(module, before):
    now = module.state_dict()
    return list(now) == list(before) and all(torch.equal(now[n], before[n]) for n in now)


def snapshot(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


# ------------------------------------------------------------------ learn2learn's gradients


@pytest.mark.parametrize("run", [loop, at_once])
@pytest.mark.parametrize("first_order", [False, True], ids=["second-order", "first-order"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float32", "float64"])
def test_meta_gradients_are_learn2learns(dtype, tolerance, steps, first_order, run):
    ours, theirs = ours_and_theirs(dtype)
    batch = tasks(dtype)
    got = run(MAML(ours, lr=0.3, first_order=first_order), batch, steps)
    with learn2learn_may_warn():
        reference = learn2learn.algorithms.MAML(theirs, lr=0.3, first_order=first_order)
        wanted = loop(reference, batch, steps)
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=0)
    close(gradients(ours), gradients(theirs), tolerance)


@pytest.mark.parametrize("run", [loop, at_once])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (nn.RNN, {}),
        (nn.RNN, {"nonlinearity": "relu"}),
        (nn.GRU, {"num_layers": 2}),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
        (nn.GRU, {"bias": False, "bidirectional": True}),
    ],
)
def test_meta_gradients_are_learn2learns_for_every_layer(layer, options, run):
    ours, theirs = ours_and_theirs(layer=layer, **options)
    run(MAML(ours, lr=0.3), tasks(), 2)
    with learn2learn_may_warn():
        loop(learn2learn.algorithms.MAML(theirs, lr=0.3), tasks(), 2)
    close(gradients(ours), gradients(theirs), 1e-10)


def test_learn2learns_maml_gives_the_same_with_our_model():
    ours, _ = ours_and_theirs()
    twin = copy.deepcopy(ours)
    loop(learn2learn.algorithms.MAML(ours, lr=0.3), tasks(), 2)  # warns of nothing
    loop(MAML(twin, lr=0.3), tasks(), 2)
    close(gradients(ours), gradients(twin), 1e-12)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        lambda: TorchClassifier(nn.RNN),
        lambda: nn.Sequential(nn.Flatten(-2), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, WAYS)),
        lambda: nn.Sequential(nn.Flatten(-2), nn.Linear(8, 6), nn.LayerNorm(6), Linear(6, WAYS)),
        lambda: nn.Sequential(nn.Flatten(-2), Linear(8, 6), nn.ReLU(), Linear(6, WAYS)),
    ],
    ids=["recurrent", "torch", "mixed", "ours"],
)
def test_tasks_at_once_equal_the_loop_whatever_the_layers(model, first_order):
    torch.manual_seed(0)
    one = model().double()
    if isinstance(one, TorchClassifier):
        one = convert(one)  # its class does not say that it knows tasks
    many = copy.deepcopy(one)
    wanted = loop(MAML(one, lr=0.3, first_order=first_order), tasks(), 2)
    got = at_once(MAML(many, lr=0.3, first_order=first_order), tasks(), 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    close(gradients(many), gradients(one), 1e-10)


@pytest.mark.parametrize("wrapped", [False, True], ids=["direct", "vmap"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_ragged_tokens(cell, wrapped):
    """A model on the task axis, and the same below a torch layer that is not."""
    torch.manual_seed(0)
    one = SequenceClassifier(
        WAYS, vocab_size=9, embedding_size=3, hidden_size=4, cell=cell, bidirectional=True
    ).double()
    if wrapped:
        one = nn.Sequential(one, nn.Linear(WAYS, WAYS).double())
    many = copy.deepcopy(one)
    tokens = torch.randint(1, 9, (2, TASKS, 6, 5))
    lengths = torch.randint(1, 6, (2, TASKS, 6))
    tokens = tokens * (torch.arange(5) < lengths.unsqueeze(-1))
    labels = torch.arange(6).remainder(WAYS).expand(TASKS, 6)
    batch = [tokens[0], labels, tokens[1], labels]
    wanted = loop(MAML(one, lr=0.3), batch, 2)
    got = at_once(MAML(many, lr=0.3), batch, 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    close(gradients(many), gradients(one), 1e-9)


class Normed(Linear):
    """A subclass may compute something that does not know the task axis."""

    task_axis = False

    def forward(self, x):
        return nn.functional.layer_norm(super().forward(x), self.weight.shape[:1])


class Unit(nn.Module):
    def forward(self, weight):
        return weight / weight.norm()


def parametrised():
    layer = Linear(8, 6)
    nn.utils.parametrize.register_parametrization(layer, "weight", Unit())
    return layer


@pytest.mark.parametrize("layer", [lambda: Normed(8, 6), parametrised], ids=["own", "parametrised"])
def test_a_layer_that_looks_across_its_weight_keeps_tasks_apart(layer):
    torch.manual_seed(0)
    one = nn.Sequential(layer(), nn.Tanh(), Linear(6, WAYS)).double()
    many = copy.deepcopy(one)
    x, y, query_x, query_y = tasks()
    batch = [x.flatten(-2), y, query_x.flatten(-2), query_y]
    wanted = loop(MAML(one, lr=0.3), batch, 2)
    got = at_once(MAML(many, lr=0.3), batch, 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    close(gradients(many), gradients(one), 1e-9)


def test_a_foreign_layer_put_into_our_model():
    """`task_axis` of a model's class says nothing of a layer that was put in later."""
    torch.manual_seed(0)
    one = SequenceClassifier(WAYS, input_size=2, hidden_size=4).double()
    one.head = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, WAYS)).double()
    many = copy.deepcopy(one)
    wanted = loop(MAML(one, lr=0.3), tasks(), 1)
    got = at_once(MAML(many, lr=0.3), tasks(), 1)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    close(gradients(many), gradients(one), 1e-9)


# ------------------------------------------------------------------ the task axis


def test_a_scalar_loss_is_the_sum_over_tasks():
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    maml = MAML(ours, lr=0.3)
    each, total = maml.clone(tasks=TASKS), maml.clone(tasks=TASKS)
    each.adapt(cross_entropy(each(x), y))
    total.adapt(cross_entropy(total(x), y).sum())
    assert same_parameters(total.module, each.module.state_dict())


def test_a_step_does_not_depend_on_the_number_of_tasks():
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    maml = MAML(ours, lr=0.3)
    adapted = {}
    for count in (1, 2, TASKS):
        learner = maml.clone(tasks=count)
        learner.adapt(cross_entropy(learner(x[:count]), y[:count]))
        adapted[count] = [p[0] for p in learner.parameters()]
    for count in (1, 2):
        torch.testing.assert_close(adapted[count], adapted[TASKS], rtol=1e-12, atol=1e-14)


def test_tasks_do_not_mix():
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    maml = MAML(ours, lr=0.3)
    changed = x.clone()
    changed[1] = torch.randn_like(x[1])
    adapted = []
    for given in (x, changed):
        learner = maml.clone(tasks=TASKS)
        learner.adapt(cross_entropy(learner(given), y))
        adapted.append(list(learner.parameters()))
    for before, after in zip(*adapted, strict=True):
        assert torch.equal(before[[0, 2, 3]], after[[0, 2, 3]])
        assert not torch.equal(before[1], after[1])


def test_outputs_and_parameters_have_the_task_axis():
    ours, _ = ours_and_theirs()
    learner = MAML(ours, lr=0.3).clone(tasks=TASKS)
    assert learner.tasks == TASKS
    assert learner(tasks()[0]).shape == (TASKS, 6, WAYS)
    for (name, p), (_, parent) in zip(
        learner.module.named_parameters(), ours.named_parameters(), strict=True
    ):
        assert p.shape == (TASKS, *parent.shape), name


def test_keyword_arguments_reach_the_model():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x, scale=1):
            return scale * self.layer(x)

    maml = MAML(Scaled(), lr=0.1)
    x = torch.randn(3, 5, 2)
    for learner in (maml, maml.clone(tasks=3)):
        torch.testing.assert_close(learner(x, scale=2), 2 * learner(x))


class Tied(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.first, self.second = linear(3, 3), linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).tanh())


@pytest.mark.parametrize("linear", [Linear, nn.Linear])
def test_tied_parameters_stay_tied(linear):
    torch.manual_seed(0)
    one = nn.Sequential(Tied(linear)).double()
    many = copy.deepcopy(one)
    assert many[0].second.weight is many[0].first.weight
    x = torch.randn(2, TASKS, 5, 3, dtype=torch.float64)
    y = torch.arange(5).remainder(3).expand(TASKS, 5)
    wanted = loop(MAML(one, lr=0.3), [x[0], y, x[1], y], 2)
    maml = MAML(many, lr=0.3)
    got = at_once(maml, [x[0], y, x[1], y], 2)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=0)
    close(gradients(many), gradients(one), 1e-10)
    learner = maml.clone(tasks=TASKS)
    learner.adapt(cross_entropy(learner(x[0]), y))
    assert learner.module[0].second.weight is learner.module[0].first.weight


def test_two_layers_of_one_kind_are_not_tied_by_equal_values():
    model = nn.Sequential(Linear(2, 2), Linear(2, 2))
    model[1].load_state_dict(model[0].state_dict())
    learner = MAML(model, lr=0.1).clone(tasks=2)
    assert learner.module[0].weight is not learner.module[1].weight


def test_buffers_are_read():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.register_buffer("shift", torch.tensor([1.0, -1.0]))

        def forward(self, x):
            return self.layer(x) + self.shift

    maml = MAML(Shifted(), lr=0.1)
    x = torch.randn(3, 5, 2)
    y = torch.zeros(3, 5, dtype=torch.long)
    learner = maml.clone(tasks=3)
    learner.adapt(cross_entropy(learner(x), y))
    for n in range(3):
        one = maml.clone()
        one.adapt(cross_entropy(one(x[n]), y[n]))
        torch.testing.assert_close(learner(x)[n], one(x[n]))
    assert torch.equal(maml.module.shift, torch.tensor([1.0, -1.0]))
    assert torch.equal(learner.module.shift, maml.module.shift)


@pytest.mark.parametrize("foreign", [False, True], ids=["direct", "vmap"])
def test_dropout_differs_between_tasks(foreign):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), (nn.Linear if foreign else Linear)(50, 2))
    learner = MAML(model, lr=0.1).clone(tasks=2)
    outputs = learner(torch.ones(2, 3, 50))
    assert not torch.equal(outputs[0], outputs[1])
    model.eval()
    outputs = MAML(model, lr=0.1).clone(tasks=2)(torch.ones(2, 3, 50))
    assert torch.equal(outputs[0], outputs[1])


def test_a_foreign_tokens_id_never_reads_another_tasks_row():
    """Under vmap, too, where values are not checked: an error, or a result that is not finite."""
    model = nn.Sequential(Embedding(5, 3), nn.Linear(3, 2))
    learner = MAML(model, lr=0.1).clone(tasks=2)
    with contextlib.suppress(ArgumentError, IndexError):
        scores = learner(torch.tensor([[[1, 5]], [[1, 2]]]))
        assert not scores[0, 0, 1].isfinite().any()


# ------------------------------------------------------------------ clone


def test_it_is_a_learn2learn_maml():
    assert isinstance(MAML(nn.Linear(2, 2), lr=0.1), learn2learn.algorithms.MAML)


class Extended(MAML):
    def __init__(self, model, lr, note, **options):
        super().__init__(model, lr, **options)
        self.note = note
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.extra = nn.Linear(1, 1)
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x):
        return self.scale * super().forward(x)


@pytest.mark.parametrize("many", [None, 3])
def test_a_subclass_keeps_its_class_and_attributes(many):
    maml = Extended(Linear(2, 2), lr=0.1, note=["kept"], first_order=True)
    learner = maml.clone(tasks=many)
    assert type(learner) is Extended
    assert learner.note is maml.note
    assert learner.first_order
    assert learner.lr == 0.1


@pytest.mark.parametrize("many", [None, 3])
def test_a_subclass_keeps_its_own_parameters_modules_and_buffers(many):
    maml = Extended(Linear(2, 2), lr=0.1, note="kept")
    learner = maml.clone(tasks=many)
    assert learner.count.item() == 3
    assert learner.extra.weight.item() == maml.extra.weight.item()
    learner(torch.ones(3, 5, 2)).sum().backward()
    assert maml.scale.grad is not None


@pytest.mark.parametrize("many", [None, TASKS])
def test_clones_are_apart(many):
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    maml = MAML(ours, lr=0.3)
    before = snapshot(maml)
    first, second = maml.clone(tasks=many), maml.clone(tasks=many)
    second_before = snapshot(second)
    given, labels = (x, y) if many else (x[0], y[0])
    first.adapt(cross_entropy(first(given), labels))
    assert same_parameters(maml, before)
    assert same_parameters(second, second_before)
    assert not same_parameters(first, second_before)
    again = first.clone()
    assert same_parameters(again, first.state_dict())
    first_before = snapshot(first)
    again.adapt(cross_entropy(again(given), labels))
    assert same_parameters(first, first_before)
    assert again.tasks == first.tasks


def test_a_clones_flags_override():
    maml = MAML(nn.Linear(2, 2), lr=0.1)
    assert not maml.first_order
    learner = maml.clone(first_order=True, allow_unused=True, allow_nograd=True)
    assert (learner.first_order, learner.allow_unused, learner.allow_nograd) == (True, True, True)
    assert (maml.first_order, maml.allow_unused, maml.allow_nograd) == (False, False, False)
    assert learner.clone(first_order=False).first_order is False
    assert MAML(nn.Linear(2, 2), 0.1, allow_nograd=True).allow_unused is True  # as learn2learn's


def test_training_mode_goes_to_clones():
    maml = MAML(nn.Sequential(nn.Dropout(0.5), Linear(2, 2)), lr=0.1)
    maml.eval()
    learner = maml.clone(tasks=2)
    assert not learner.module.training
    assert not learner.training


def test_a_learned_rate():
    rate = torch.tensor(0.1, requires_grad=True)
    x, y, *_ = tasks()
    ours, _ = ours_and_theirs()
    learner = MAML(ours, lr=rate).clone(tasks=TASKS)
    learner.adapt(cross_entropy(learner(x), y))
    cross_entropy(learner(x), y).sum().backward()
    assert rate.grad.item() < 0  # a larger step would fit the support set better


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(copied):
    (ours, theirs), batch = ours_and_theirs(), tasks()
    maml = MAML(ours, lr=0.3, first_order=True)
    other = copied(maml)
    assert type(other) is MAML
    assert (other.lr, other.first_order) == (0.3, True)
    at_once(maml, batch, 2)
    at_once(other, batch, 2)
    close(gradients(other), gradients(maml), 0)
    reference = learn2learn.algorithms.MAML(theirs, lr=0.3)
    assert list(reference.state_dict()) == list(maml.state_dict())
    reference.load_state_dict(maml.state_dict())
    maml.load_state_dict(reference.state_dict())


def test_attributes_of_the_model_are_the_learners():
    ours, _ = ours_and_theirs()
    assert MAML(ours, lr=0.1).clone().head.out_features == WAYS


# ------------------------------------------------------------------ adapt


def test_several_steps_lower_the_loss():
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    learner = MAML(ours, lr=0.5, first_order=True).clone(tasks=TASKS)
    losses = []
    for _ in range(8):
        losses.append(cross_entropy(learner(x), y))
        learner.adapt(losses[-1])
    assert (losses[-1] < losses[0]).all()


def test_first_order_builds_no_graph_through_the_step():
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    learner = MAML(ours, lr=0.3).clone(tasks=TASKS)
    learner.adapt(cross_entropy(learner(x), y), first_order=True)
    torch.testing.assert_close(
        torch.autograd.grad(sum(p.sum() for p in learner.parameters()), ours.head.bias),
        (torch.full_like(ours.head.bias, TASKS),),
    )


BAD = {
    "nan": (lambda good: good * float("nan"), AdaptationError, "the loss is .*nan"),
    "inf": (lambda good: good / 0, AdaptationError, "the loss is .*inf"),
    "no graph": (lambda good: good.detach(), AdaptationError, "no graph"),
    "shape": (lambda good: good + torch.zeros(6, TASKS), ShapeError, r"got shape \(6, 4\)"),
    "number": (lambda good: 1.0, ArgumentTypeError, "must be a tensor, got float"),
}


@pytest.fixture(params=[None, TASKS], ids=["one", "tasks"])
def adapting(request):
    """A learner, a loss that it can adapt to, and the parts to compute another."""
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    learner = MAML(ours, lr=0.3).clone(tasks=request.param)
    if request.param is None:
        x, y = x[0], y[0]
    return learner, lambda: cross_entropy(learner(x), y)


def still_works(learner, loss, before):
    assert same_parameters(learner, before)
    assert all(getattr(p, "update", None) is None for p in learner.parameters())
    learner.adapt(loss())
    assert not same_parameters(learner, before)
    assert loss().isfinite().all()


@pytest.mark.parametrize("call", ["adapt", "accumulate"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_loss_changes_nothing(adapting, kind, call):
    learner, loss = adapting
    spoil, error, message = BAD[kind]
    before = snapshot(learner)
    with pytest.raises(error, match=message) as caught:
        getattr(learner, call)(spoil(loss()))
    assert str(caught.value).startswith(f"MAML.{call}: ")
    still_works(learner, loss, before)


def test_one_bad_task_of_many_is_told(adapting):
    learner, loss = adapting
    if learner.tasks is None:
        pytest.skip("one task")
    before = snapshot(learner)
    spoiled = loss() * torch.tensor([1.0, float("nan"), 1.0, 1.0])
    with pytest.raises(AdaptationError, match="nan"):
        learner.adapt(spoiled)
    still_works(learner, loss, before)


def test_a_loss_for_each_task_needs_a_task_axis():
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    learner = MAML(ours, lr=0.3).clone()
    with pytest.raises(ShapeError, match=r"loss must be a scalar, got shape \(6,\)"):
        learner.adapt(nn.functional.cross_entropy(learner(x[0]), y[0], reduction="none"))
    learner.adapt(cross_entropy(learner(x[0]), y[0]).reshape(1))  # as learn2learn's takes it


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_must_be_on(adapting, off):
    learner, loss = adapting
    before = snapshot(learner)
    with pytest.raises(AdaptationError, match="gradients are disabled"), off():
        learner.adapt(loss())
    good = loss()
    with pytest.raises(AdaptationError, match="gradients are disabled"), off():
        learner.adapt(good)
    with off():
        blind = loss()
    with pytest.raises(AdaptationError, match="no graph"):
        learner.adapt(blind)
    still_works(learner, loss, before)


def test_an_unused_parameter_is_named(adapting):
    learner, loss = adapting
    learner.module.spare = Linear(2, 1).double()
    before = snapshot(learner)
    with pytest.raises(
        AdaptationError, match=r"on parameter 'spare\.weight', 'spare\.bias'; .*allow_unused"
    ):
        learner.adapt(loss())
    assert same_parameters(learner, before)
    spare = learner.module.spare.weight
    learner.adapt(loss(), allow_unused=True)
    assert learner.module.spare.weight is spare
    assert not same_parameters(learner, before)


def test_a_loss_of_another_learner_is_told(adapting):
    learner, loss = adapting
    other = learner.clone()
    before = snapshot(other)
    with pytest.raises(AdaptationError, match=r"does not depend on parameter .* and 3 more"):
        other.adapt(loss())
    assert same_parameters(other, before)


@pytest.mark.parametrize("many", [None, TASKS])
def test_a_frozen_parameter_is_named(many):
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    ours.lstm.weight_hh_l0.requires_grad_(False)
    learner = MAML(ours, lr=0.3).clone(tasks=many)
    if many is None:
        x, y = x[0], y[0]
    before = snapshot(learner)
    with pytest.raises(AdaptationError, match=r"'lstm\.weight_hh_l0' .*allow_nograd"):
        learner.adapt(cross_entropy(learner(x), y))
    assert same_parameters(learner, before)
    learner.adapt(cross_entropy(learner(x), y), allow_nograd=True)
    moved = {n for n, p in learner.state_dict().items() if not torch.equal(p, before[n])}
    assert moved == set(before) - {"module.lstm.weight_hh_l0"}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("unused", [False, True])
def test_allowances_are_learn2learns(frozen, unused):
    (ours, theirs), batch = ours_and_theirs(), tasks()
    for model in (ours, theirs):
        if frozen:
            model.lstm.bias_ih_l0.requires_grad_(False)
        if unused:
            model.spare = nn.Parameter(torch.ones(2, dtype=torch.float64))
    options = {"lr": 0.3, "allow_nograd": frozen, "allow_unused": unused}
    loop(MAML(ours, **options), batch, 2)
    with learn2learn_may_warn():
        loop(learn2learn.algorithms.MAML(theirs, **options), batch, 2)
    names = [n for n, p in theirs.named_parameters() if p.grad is not None]
    assert names == [n for n, p in ours.named_parameters() if p.grad is not None]
    assert "spare" not in names
    assert ("lstm.bias_ih_l0" in names) is not frozen
    close({n: gradients(ours)[n] for n in names}, {n: gradients(theirs)[n] for n in names}, 1e-10)


# ------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("model", 0.1), ArgumentTypeError, "must be a torch.nn.Module, got str"),
        (
            (nn.Linear(1, 1), float("nan")),
            ArgumentError,
            "lr must be a finite number, got nan; .* GradientTransform",
        ),
        (
            (nn.Linear(1, 1), float("inf")),
            ArgumentError,
            "lr must be a finite number, got inf; .* GradientTransform",
        ),
        ((nn.Linear(1, 1), "0.1"), (ArgumentError, ArgumentTypeError), "lr must be .*'0.1'"),
        ((nn.Linear(1, 1), None), (ArgumentError, ArgumentTypeError), "lr must be .*None"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        MAML(*arguments)


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", True])
def test_bad_number_of_tasks(count):
    with pytest.raises(ArgumentError, match="tasks must be a positive integer"):
        MAML(nn.Linear(1, 1), lr=0.1).clone(tasks=count)


def test_tasks_of_tasks():
    learner = MAML(Linear(2, 2), lr=0.1).clone(tasks=2)
    with pytest.raises(ArgumentError, match="already holds 2 tasks"):
        learner.clone(tasks=3)


def test_inputs_without_their_task_axis_are_told():
    learner = MAML(GRU(2, 3, batch_first=True), lr=0.1).clone(tasks=4)
    with pytest.raises(ShapeError, match=r"N=4 .*got shape \(3, 5, 2\)"):
        learner(torch.zeros(3, 5, 2))


def test_a_message_names_the_subclass():
    with pytest.raises(AdaptationError, match=r"^Extended\.adapt: "):
        Extended(Linear(2, 2), 0.1, "").clone().adapt(torch.tensor(1.0))
