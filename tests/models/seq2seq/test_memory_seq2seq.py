"""`MemorySeq2Seq`: a set of pairs as memory, padding, tasks at once, and derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.functional import sequence_cross_entropy
from l2l_rnn.models import MemorySeq2Seq
from l2l_rnn.models.seq2seq.matches import common, equal_tokens, last_tokens, shared_places, windows
from tests.models.seq2seq.pairs import END, SOURCES, TARGETS, of_all_parameters, pairs, widened

COPIES = [0, 0, 0, 3, 4, 0, 6]
KINDS = [
    {},
    {"cell": "lstm", "read_source": True, "copies": COPIES, "encoder_layers": 2},
    {"places": 0, "context": 1, "encoder_layers": 0, "decoder_layers": 1},
    {"copies": COPIES, "places": 4, "heads": 1},
]
TWO = KINDS[:2]


def model(size=4, seed=0, sharp=True, **options):
    torch.manual_seed(seed)
    network = MemorySeq2Seq(SOURCES, TARGETS, hidden_size=size, max_length=12, **options).double()
    if sharp:  # tables start at 0, and would hide what depends on them
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture
def sets():
    """A support set and queries, with other numbers of steps."""
    return *pairs(5), *pairs(3, source_steps=3, target_steps=6, seed=1)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_probabilities_sum_to_one(options, sets):
    network, (sx, sy, qx, qy) = model(**options), sets
    assert knows_tasks(network)
    for memory in (network.remember(sx, sy), network.remember(sx[:0], sy[:0])):
        p = network(qx, qy, memory).exp()
        torch.testing.assert_close(p.sum(-1), torch.ones_like(p[..., 0]))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_memory_is_a_set(options, sets):
    network, (sx, sy, qx, qy) = model(**options), sets
    expected = network(qx, qy, network.remember(sx, sy))
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(network(qx, qy, network.remember(sx[order], sy[order])), expected)
    assert not torch.allclose(network(qx, qy, network.remember(sx[:4], sy[:4])), expected)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_padding_changes_nothing(options, sets):
    network, (sx, sy, qx, qy) = model(**options), sets
    expected = network(qx, qy, network.remember(sx, sy))
    memory = network.remember(widened(sx), widened(sy))
    torch.testing.assert_close(network(widened(qx), widened(qy), memory)[:, :6], expected)
    assert torch.equal(network.greedy(widened(qx), memory), network.greedy(qx, memory))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_masked_pairs_are_not_in_the_memory(options, sets):
    network, (sx, sy, qx, qy) = model(**options), sets
    mask = torch.tensor([True, False, True, False, True])
    expected = network(qx, qy, network.remember(sx[mask], sy[mask]))
    torch.testing.assert_close(network(qx, qy, network.remember(sx, sy, mask)), expected)
    blank = [part.masked_fill(~mask.unsqueeze(-1), 0) for part in (sx, sy)]
    torch.testing.assert_close(network(qx, qy, network.remember(*blank, mask)), expected)
    none = network.remember(sx, sy, torch.zeros_like(mask))
    empty = network.remember(sx[:0], sy[:0])
    torch.testing.assert_close(network(qx, qy, none), network(qx, qy, empty))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_queries_do_not_read_each_other(options, sets):
    network, (sx, sy, qx, qy) = model(**options), sets
    memory = network.remember(sx, sy)
    expected = network(qx, qy, memory)
    torch.testing.assert_close(network(qx[1:2], qy[1:2], memory), expected[1:2])
    later = qy.clone()
    later[0, 3:] = 5  # a step does not read the tokens from it on
    torch.testing.assert_close(network(qx, later, memory)[0, :4], expected[0, :4])
    assert not torch.allclose(network(qx, later, memory)[0, 4], expected[0, 4])


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_one_step_after_the_other_equals_all_at_once(options, sets):
    network, (sx, sy, qx, _) = model(**options), sets
    memory = network.remember(sx, sy)
    tokens = network.greedy(qx, memory)
    forced = network(qx, tokens, memory)[..., 1:].argmax(-1) + 1
    assert torch.equal(forced[tokens != 0], tokens[tokens != 0])
    one, many = (network.beam_search(qx, memory, width) for width in (1, 4))
    assert torch.equal(one.tokens[:, 0], tokens)
    assert (many.scores[:, 0] >= one.scores[:, 0] - 1e-9).all()
    for n, (beams, scores) in enumerate(zip(many.tokens, many.scores, strict=True)):
        for target, score in zip(beams, scores, strict=True):
            ended = (target == END).nonzero()
            target = target[: int(ended[0]) + 1] if len(ended) else target
            log_p = network(qx[n : n + 1], target.unsqueeze(0), memory)[0]
            torch.testing.assert_close(log_p.gather(-1, target.unsqueeze(-1)).sum(), score)


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("expanded", [False, True])
def test_tasks_at_once_equal_a_loop(options, expanded):
    network = model(**options)
    sx, sy = pairs(3, 5)
    qx, qy = pairs(3, 2, seed=1)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1, 2:] = False
    expected, tokens = [], []
    for n in range(3):
        memory = network.remember(sx[n], sy[n], mask[n])
        expected.append(network(qx[n], qy[n], memory))
        tokens.append(network.greedy(qx[n], memory))
    names = list(dict(network.named_parameters()))
    alone = torch.stack([sequence_cross_entropy(*both) for both in zip(expected, qy, strict=True)])
    gradients = torch.autograd.grad(alone.sum(), list(network.parameters()), allow_unused=True)
    parameters = list(network.parameters())
    if expanded:
        expand_parameters(network, 3)
    memory = network.remember(sx, sy, mask)
    outputs = network(qx, qy, memory)
    torch.testing.assert_close(outputs, torch.stack(expected))
    loss = sequence_cross_entropy(outputs, qy).sum()
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    for name, one, other in zip(names, found, gradients, strict=True):
        if other is None or one is None:
            assert not any(g is not None and g.any() for g in (one, other)), name
        else:
            torch.testing.assert_close(one, other, msg=name)
    many = network.greedy(qx, memory)
    for n, own in enumerate(tokens):
        assert torch.equal(many[n, :, : own.shape[-1]], own)


@pytest.mark.parametrize("options", TWO, ids=str)
def test_derivatives(options):
    network = model(size=2, **options)
    sx, sy = pairs(2, source_steps=2, target_steps=2)
    qx, qy = pairs(1, source_steps=2, target_steps=2, seed=1)

    def loss():
        return sequence_cross_entropy(network(qx, qy, network.remember(sx, sy)), qy)

    function, values = of_all_parameters(network, loss)
    assert gradcheck(function, values, fast_mode=True)
    assert gradgradcheck(function, values, fast_mode=True)


def test_permuted_tokens_have_permuted_probabilities_without_embeddings():
    """All that is known of a token besides its vector is which other tokens equal it."""
    network = model()
    with torch.no_grad():
        network.target_embedding.weight.copy_(
            network.target_embedding.weight[:1].expand(TARGETS, -1)
        )
        network.output.gate.bias[0] = -1e3  # nothing is generated
    sx, sy = pairs(5)
    qx, qy = pairs(3, seed=1)
    order = torch.tensor([0, 1, 2, 7, 3, 8, 5, 4, 6])
    expected = network(qx, qy, network.remember(sx, sy))
    permuted = network(qx, order[qy], network.remember(sx, order[sy]))
    torch.testing.assert_close(permuted[..., order].exp(), expected.exp())


# ------------------------------------------------------------------ comparisons


def test_windows_and_common_contexts_equal_a_loop():
    _, target = pairs(4, 6)
    for after in (False, True):
        wide = windows(target, 3, after=after)
        for index in torch.cartesian_prod(*map(torch.arange, target.shape)).tolist():
            *row, t = index
            tokens = target[tuple(row)].tolist()
            near = tokens[t + 1 : t + 4] if after else tokens[max(t - 3, 0) : t][::-1]
            assert wide[tuple(index)].tolist() == near + [0] * (3 - len(near))
    first, second = windows(target, 3)[0].flatten(0, 1), windows(target, 3)[1].flatten(0, 1)
    found = common(first, second)
    for i, a in enumerate(first.tolist()):
        for j, b in enumerate(second.tolist()):
            agree = next((k for k in range(3) if a[k] != b[k]), 3)
            assert found[i, j] == agree


def test_shared_places_equal_a_loop():
    source = pairs(6)[0]
    ends = last_tokens(source, 3)
    for row, end in zip(source.tolist(), ends.tolist(), strict=True):
        tokens = [token for token in row if token][::-1][:3]
        assert end == tokens + [0] * (3 - len(tokens))
    places, equal = shared_places(ends, ends), equal_tokens(ends, ends, torch.float64)
    for i in range(6):
        for j in range(6):
            assert places[i, j] == sum(2**k for k in range(3) if ends[i, k] == ends[j, k])
            pairs_of_tokens = [
                a == b and a != 0 for a in ends[i].tolist() for b in ends[j].tolist()
            ]
            assert equal[i, j].bool().tolist() == pairs_of_tokens
