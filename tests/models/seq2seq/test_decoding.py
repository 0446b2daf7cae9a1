"""Greedy decoding and beam search against all sequences, scored one by one."""

import itertools

import pytest
import torch

from l2l_rnn.models import Seq2Seq
from l2l_rnn.models.seq2seq.decoding import beam_search, greedy
from tests.models.seq2seq.pairs import END, SOURCES, TARGETS, pairs

MOST = 3


def model(seed, **options):
    torch.manual_seed(seed)
    network = Seq2Seq(SOURCES, TARGETS, hidden_size=6, max_length=10, **options).double()
    with torch.no_grad():  # sharper probabilities, so that END and the others are near
        network.generator.weight.mul_(6)
    return network.eval()


def score(network, source, tokens):
    """The log-probability of a target, up to END."""
    end = (tokens == END).nonzero()
    target = tokens[: int(end[0]) + 1] if len(end) else tokens
    log_p = network(source.unsqueeze(0), target.unsqueeze(0))[0]
    return log_p.gather(-1, target.unsqueeze(-1)).sum()


def every_target(steps):
    """All targets of at most `steps` tokens that end in END or have all steps."""
    letters = [i for i in range(1, 5) if i != END]
    for count in range(steps):
        for values in itertools.product(letters, repeat=count):
            yield [*values, END]
    yield from map(list, itertools.product(letters, repeat=steps))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("seed", range(2))
def test_a_wide_beam_finds_the_most_probable_target(cell, seed):
    torch.manual_seed(seed)
    network = Seq2Seq(SOURCES, 5, hidden_size=6, max_length=10, cell=cell).double()
    with torch.no_grad():
        network.generator.weight.mul_(6)
    source = pairs(3, seed=seed)[0]
    beams = network.beam_search(source, width=100, max_length=MOST)
    for x, tokens, scores in zip(source, beams.tokens, beams.scores, strict=True):
        targets = [torch.tensor(target) for target in every_target(MOST)]
        totals = torch.stack([score(network, x, target) for target in targets])
        best = targets[int(totals.argmax())]
        assert tokens[0, : len(best)].tolist() == best.tolist()
        torch.testing.assert_close(scores[0], totals.max())
        torch.testing.assert_close(scores[:9], totals.sort(descending=True).values[:9])


@pytest.mark.parametrize("options", [{}, {"cell": "lstm", "attention": "additive"}], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_beam_search_and_greedy(seed, options):
    network, source = model(seed, **options), pairs(12, seed=seed)[0]
    with torch.no_grad():
        tokens = network.greedy(source)
        one, many = (network.beam_search(source, width) for width in (1, 4))
        assert torch.equal(one.tokens[:, 0], tokens)
        expected = torch.stack([score(network, *both) for both in zip(source, tokens, strict=True)])
        torch.testing.assert_close(one.scores[:, 0], expected)
        assert (many.scores[:, 0] >= one.scores[:, 0] - 1e-9).all()
        assert (many.scores[:, 0] > one.scores[:, 0] + 1e-6).any() or seed  # it does find better
        assert (many.scores.diff(dim=-1) <= 0).all()
        for x, beams, scores in zip(source, many.tokens, many.scores, strict=True):
            assert len(set(map(tuple, beams.tolist()))) == 4
            for target, found in zip(beams, scores, strict=True):
                torch.testing.assert_close(score(network, x, target), found)


def test_a_step_chooses_as_torch_does():
    """Greedy decoding is the argmax of teacher forcing with its own tokens."""
    network, source = model(0), pairs(6)[0]
    tokens = network.greedy(source)
    forced = network(source, tokens)[..., 1:].argmax(-1) + 1
    valid = tokens != 0
    assert torch.equal(forced[valid], tokens[valid])
    after = (tokens == END).long().cumsum(-1) - (tokens == END).long() > 0
    assert not tokens[after].any()


def test_padding_of_a_batch_is_cut():
    network, source = model(1), pairs(6)[0]
    whole = network.greedy(source)
    for n, x in enumerate(source):
        own = network.greedy(x.unsqueeze(0))[0]
        assert torch.equal(whole[n, : len(own)], own)
        assert not whole[n, len(own) :].any()


def garden_path(source, state, tokens):
    """The likelier first token 3 leads to unlikely ends; 4 leads to a certain one."""
    p = torch.full((len(tokens), 6), 1e-9, dtype=torch.float64)
    for row, token in enumerate(tokens.tolist()):
        if token == 0:
            p[row, 3], p[row, 4] = 0.55, 0.45
        elif token == 3:
            p[row, 2:6] = torch.tensor([0.3, 0.25, 0.25, 0.2])
        else:
            p[row, 2] = 1.0
    return p.log(), state


def test_a_beam_leaves_a_garden_path():
    start = torch.zeros(2, dtype=torch.long)
    assert greedy(garden_path, (), (), start, 5, END)[0].tolist() == [[3, 2]] * 2
    beams = beam_search(garden_path, (), (), start, 5, END, width=2)
    assert beams.tokens[:, 0, :2].tolist() == [[4, 2]] * 2
    torch.testing.assert_close(beams.scores[:, 0].exp(), torch.full((2,), 0.45).double())


def test_the_length_penalty_prefers_long_targets():
    def step(source, state, tokens):
        p = torch.full((len(tokens), 5), 1e-9, dtype=torch.float64)
        for row, token in enumerate(tokens.tolist()):
            p[row, 2], p[row, 3] = (0.4, 0.6) if token == 0 else (0.5, 0.5)
        return p.log(), state

    start = torch.zeros(1, dtype=torch.long)
    plain, long = (
        beam_search(step, (), (), start, 4, END, 3, length_penalty=penalty).tokens[0, 0]
        for penalty in (0.0, 2.0)
    )
    assert (plain != 0).sum() < (long != 0).sum()
