"""The task axis of the recurrent layers: N tasks at once, with parameters (N, …) and vmap."""

import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.utils.rnn import pack_padded_sequence

from l2l_rnn.errors import ShapeError

TASKS, BATCH, STEPS = 3, 2, 4
RAGGED = [[1, 4], [2, 2], [3, 1]]


def close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def task(hx, n):
    """Return the state of task n."""
    return hx[n] if isinstance(hx, torch.Tensor) else tuple(h[n] for h in hx)


LAYOUTS = [
    {},
    {"batch_first": True},
    {"bias": False},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
]


@pytest.fixture(params=LAYOUTS, ids=str)
def layers(recurrent, request):
    """A layer with parameters (N, …), and one layer per task."""
    return recurrent.with_tasks(recurrent.make(**request.param), TASKS)


def batch(layer):
    torch.manual_seed(1)
    axes = (BATCH, STEPS) if layer.batch_first else (STEPS, BATCH)
    return torch.randn(TASKS, *axes, 3, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("lengths", [None, RAGGED, [[4, 4], [4, 4], [0, 2]]], ids=str)
@pytest.mark.parametrize("with_hx", [False, True], ids=["", "hx"])
def test_tasks_at_once_equal_a_loop(recurrent, layers, lengths, with_hx):
    layer, singles = layers
    x = batch(layer)
    hx = recurrent.state(layer, TASKS, BATCH) if with_hx else None
    lengths = None if lengths is None else torch.tensor(lengths)
    together = recurrent.flat(layer(x, hx, lengths=lengths))
    names = list(layer._parameters)
    found = recurrent.derivatives(together, [x, *(layer._parameters[n] for n in names)])

    loop = [
        recurrent.flat(
            single(
                x[n],
                None if hx is None else task(hx, n),
                lengths=None if lengths is None else lengths[n],
            )
        )
        for n, single in enumerate(singles)
    ]
    apart = [torch.stack(parts) for parts in zip(*loop, strict=True)]
    close(together, apart)
    flat = [p for single in singles for p in single.parameters()]
    wanted = recurrent.derivatives(apart, [x, *flat], order=1)
    close([found[0]], [wanted[0]])
    for i, _ in enumerate(names):
        close([found[1 + i]], [torch.stack(wanted[1 + i :: len(names)])])


def test_second_derivatives_of_tasks_equal_a_loop(recurrent):
    layer, singles = recurrent.with_tasks(recurrent.make(num_layers=2, bidirectional=True), TASKS)
    x = batch(layer)
    lengths = torch.tensor(RAGGED)

    def second(layer, x, lengths):
        parameters = list(layer._parameters.values())
        value = layer(x, lengths=lengths)[0].sin().sum()
        first = torch.autograd.grad(value, [x, *parameters], create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), [x, *parameters])

    together = second(layer, x, lengths)
    apart = [second(single, x[n], lengths[n]) for n, single in enumerate(singles)]
    close(together, [torch.stack(parts) for parts in zip(*apart, strict=True)])


@pytest.mark.parametrize("lengths", [None, RAGGED], ids=["full", "ragged"])
@pytest.mark.parametrize("own", [True, False], ids=["own parameters", "shared parameters"])
def test_vmap_equals_a_loop(recurrent, lengths, own):
    options = {"num_layers": 2, "bidirectional": True}
    layer, singles = recurrent.with_tasks(recurrent.make(**options), TASKS)
    parameters = dict(layer._parameters)
    plain = recurrent.make(**options)
    if not own:
        singles = [plain] * TASKS
        parameters = dict(plain.named_parameters())
    x = batch(layer)
    hx = recurrent.state(plain, TASKS, BATCH)
    lengths = None if lengths is None else torch.tensor(lengths)

    def one(parameters, x, hx, lengths):
        return functional_call(plain, parameters, (x, hx), {"lengths": lengths})

    axes = (0 if own else None, 0, 0, None if lengths is None else 0)
    mapped = vmap(one, in_dims=axes)(parameters, x, hx, lengths)
    for n, single in enumerate(singles):
        alone = single(x[n], task(hx, n), lengths=None if lengths is None else lengths[n])
        close([t[n] for t in recurrent.flat(mapped)], recurrent.flat(alone))


def test_vmap_of_grad_equals_a_loop(recurrent):
    layer, singles = recurrent.with_tasks(recurrent.make(batch_first=True), TASKS)
    x, lengths = batch(layer), torch.tensor(RAGGED)
    plain = recurrent.make(batch_first=True)

    def loss(parameters, x, lengths):
        y, _ = functional_call(plain, parameters, (x,), {"lengths": lengths})
        return y.square().sum()

    mapped = vmap(grad(loss))(dict(layer._parameters), x.detach(), lengths)
    for n, single in enumerate(singles):
        loss_n = single(x[n], lengths=lengths[n])[0].square().sum()
        close(
            [g[n] for g in mapped.values()], torch.autograd.grad(loss_n, list(single.parameters()))
        )


def test_padding_of_tasks_changes_nothing(recurrent):
    layer, _ = recurrent.with_tasks(
        recurrent.make(num_layers=2, bidirectional=True, batch_first=True), TASKS
    )
    lengths = torch.tensor(RAGGED)
    x = torch.randn(TASKS, BATCH, STEPS, 3, dtype=torch.float64)
    inside = (torch.arange(STEPS) < lengths.unsqueeze(-1)).unsqueeze(-1)
    results = []
    for filling, more in [(0.0, 0), (1e6, 0), (-1.0, 3), (float("nan"), 2)]:
        padded = torch.where(inside, x, filling)
        padded = torch.nn.functional.pad(padded, (0, 0, 0, more), value=filling)
        y, final = layer(padded.requires_grad_(), lengths=lengths)
        assert (y[:, :, STEPS:] == 0).all()
        wanted = [padded, *layer._parameters.values()]
        outputs = [y, *recurrent.flat(final)]
        first = torch.autograd.grad(sum(o.sin().sum() for o in outputs), wanted, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), wanted)
        for derivative in (first[0], second[0]):
            assert (derivative[:, :, :STEPS].masked_select(~inside) == 0).all()
            assert (derivative[:, :, STEPS:] == 0).all()
        inner = [t[:, :, :STEPS] for t in (y, first[0], second[0])]
        results.append([*inner, *recurrent.flat(final), *first[1:], *second[1:]])
    for other in results[1:]:
        close(results[0], other)


def test_one_sequence_for_each_task(recurrent):
    layer, singles = recurrent.with_tasks(recurrent.make(bidirectional=True), TASKS)
    x = torch.randn(TASKS, STEPS, 3, dtype=torch.float64)
    y, final = layer(x, lengths=torch.tensor([1, 4, 3]))
    for n, length in enumerate([1, 4, 3]):
        alone, alone_final = singles[n](x[n, :length])
        close([y[n, :length]], [alone])
        close([f[n] for f in recurrent.flat(final)], recurrent.flat(alone_final))


def test_batch_axes_after_the_task_axis(recurrent):
    layer, singles = recurrent.with_tasks(recurrent.make(bidirectional=True), TASKS)
    x = torch.randn(TASKS, 2, STEPS, BATCH, 3, dtype=torch.float64)
    lengths = torch.randint(1, STEPS + 1, (TASKS, 2, BATCH))
    together = recurrent.flat(layer(x, lengths=lengths))
    alone = [recurrent.flat(one(x[n], lengths=lengths[n])) for n, one in enumerate(singles)]
    close(together, [torch.stack(same) for same in zip(*alone, strict=True)])


def test_one_task(recurrent):
    layer, singles = recurrent.with_tasks(recurrent.make(bidirectional=True), 1)
    x = torch.randn(1, STEPS, BATCH, 3, dtype=torch.float64)
    for lengths in (None, torch.tensor([[2, 4]])):
        together = recurrent.flat(layer(x, lengths=lengths))
        alone = recurrent.flat(singles[0](x[0], lengths=None if lengths is None else lengths[0]))
        close([t[0] for t in together], alone)


def test_several_backward_calls_of_tasks_accumulate_exactly(recurrent):
    layer, _ = recurrent.with_tasks(recurrent.make(bidirectional=True, num_layers=2), TASKS)
    leaves = [p.detach().clone().requires_grad_() for p in layer._parameters.values()]
    layer._parameters.update(zip(layer._parameters, leaves, strict=True))
    x = batch(layer).detach()

    def loss():
        return layer(x)[0].square().sum()

    once = torch.autograd.grad(loss(), leaves)
    for count in range(1, 4):
        loss().backward()
        close([p.grad for p in leaves], [count * g for g in once])


def test_another_number_of_tasks_raises(layer_class):
    layer = layer_class(3, 4, batch_first=True)
    for name, p in list(layer._parameters.items()):
        layer._parameters[name] = p.expand(TASKS, *p.shape).clone()
    who = layer_class.__name__
    for shape in [(2, 5, 4, 3), (5, 4, 3), (1, TASKS, 5, 4, 3)]:
        with pytest.raises(ShapeError, match=rf"^{who}: .*N=3 tasks first.*{shape[0]}, "):
            layer(torch.zeros(shape))
    with pytest.raises(ShapeError, match=rf"^{who}: "):
        layer(torch.zeros(4, 3))
    hx = tuple(torch.zeros(1, 2, size) for size in layer.state_sizes)
    hx = hx if len(hx) > 1 else hx[0]
    with pytest.raises(ShapeError, match=r"hx must have shape \(3, 1, 2, \d\), got "):
        layer(torch.zeros(TASKS, 2, 5, 3), hx)
    with pytest.raises(ShapeError, match=r"lengths must have shape \(3, 2\), got \(2,\)"):
        layer(torch.zeros(TASKS, 2, 5, 3), lengths=torch.tensor([1, 2]))
    packed = pack_padded_sequence(torch.zeros(2, 5, 3), torch.tensor([5, 2]), batch_first=True)
    with pytest.raises(ShapeError, match="no task axis"):
        layer(packed)
