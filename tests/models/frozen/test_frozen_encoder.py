"""The frozen encoder: states, lookups, copies, and errors."""

import copy
import pickle

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, ProtoNet
from l2l_rnn.configuration import build, configuration_of
from l2l_rnn.data import encoder_pipeline
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ExportError,
    MissingExtraError,
    ShapeError,
)
from l2l_rnn.models import (
    EncodedSequence,
    FrozenEncoder,
    FrozenSentenceEncoder,
    SequenceClassifier,
    SequenceEncoder,
    encoders_folder,
)
from l2l_rnn.nn import convert
from l2l_rnn.training import TextInputs, adapted
from tests.models.frozen.tiny import NAME, SIZE, TEXTS, WORDS, tiny, weights


@pytest.fixture
def encoder(tmp_path):
    return FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10)


def ids_of(encoder, texts=TEXTS):
    return TextInputs(encoder_pipeline(encoder), encoder.max_length)(texts)


def calls(encoder):
    return encoder._states.backend.module.calls


def test_states_are_those_of_the_module_in_half_precision(encoder):
    x = ids_of(encoder)
    states = encoder(x)
    assert states.shape == (5, x.shape[1], SIZE)
    assert states.dtype == torch.float32
    assert not states.requires_grad
    module = tiny().module.eval()
    for row, text in zip(states, TEXTS, strict=True):
        ids = torch.tensor([[2, *(WORDS.index(word) for word in text.split()), 3]])
        with torch.no_grad():
            wanted = module(ids, ids >= 0)[0]
        n = ids.shape[1]
        torch.testing.assert_close(row[:n], wanted, rtol=1e-3, atol=1e-3)
        assert row[n:].isnan().all()
        assert torch.equal(row[:n], row[:n].half().float())


def test_states_are_computed_once_and_found_by_another_module(encoder, tmp_path):
    x = ids_of(encoder)
    first = encoder(x)
    assert calls(encoder) == 1
    again = FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10)
    order = torch.tensor([3, 0, 0, 4])
    assert torch.equal(again(x[order]).nan_to_num(9), first[order].nan_to_num(9))
    assert calls(encoder) == 1
    assert calls(again) == 0
    wider = nn.functional.pad(x, (0, 4))
    assert torch.equal(again(wider)[:, : x.shape[1]].nan_to_num(9), first.nan_to_num(9))
    assert again(wider)[:, x.shape[1] :].isnan().all()
    assert calls(again) == 0


def test_a_cache_alone_is_enough(encoder, tmp_path):
    x = ids_of(encoder)
    states = encoder(x)
    with weights(None):
        alone = FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10)
        assert torch.equal(alone(x).nan_to_num(9), states.nan_to_num(9))
        assert alone.output_size == SIZE
        assert torch.equal(ids_of(alone), x)
        new = ids_of(alone, ["the dog sat", "home", "a red cat"])
        assert alone.missing(new) == 2
        with pytest.raises(DataError, match=r"2 of 3 rows are not in the cache .*l2l-rnn encode"):
            alone(new)
    assert alone(new).shape[0] == 3  # the encoder was installed meanwhile


def test_without_an_encoder_or_a_cache(tmp_path):
    with weights(None), pytest.raises(MissingExtraError, match="not on this machine"):
        FrozenEncoder(NAME, cache=tmp_path / "cache")
    with pytest.raises(MissingExtraError, match="'/no/such/folder' is not on this machine"):
        FrozenEncoder("/no/such/folder", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_of_another_encoder_is_refused(encoder, tmp_path):
    cache = tmp_path / "cache"
    x = ids_of(encoder)
    encoder(x)
    with weights(1), pytest.raises(DataError, match="other weights"):
        FrozenEncoder(NAME, cache=cache, max_length=10)
    with pytest.raises(DataError, match="max_length=10 instead of 9"):
        FrozenEncoder(NAME, cache=cache, max_length=9)
    with pytest.raises(DataError, match="layer=-1 instead of 0"):
        FrozenEncoder(NAME, cache=cache, max_length=10, layer=0)
    other = FrozenEncoder(NAME, cache=tmp_path / "other", max_length=9)
    other(ids_of(other))
    for path in cache.iterdir():
        path.unlink()
    cache.rmdir()
    (tmp_path / "other").rename(cache)  # replaced while the first module is alive
    with pytest.raises(DataError, match="max_length=9 instead of 10"):
        encoder(ids_of(encoder, ["the the the"]))


def test_an_encoder_installed_later_must_be_that_of_the_cache(encoder, tmp_path):
    encoder(ids_of(encoder))
    with weights(None):
        alone = FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10)
    new = ids_of(alone, ["the the the"])
    with weights(1), pytest.raises(DataError, match="other weights"):
        alone(new)


def test_the_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("L2L_RNN_ENCODERS", str(tmp_path / "all"))
    assert encoders_folder() == tmp_path / "all"
    assert FrozenEncoder(NAME, max_length=11).cache == tmp_path / "all" / "tiny-11"
    given = FrozenEncoder(NAME, max_length=12, cache=tmp_path / "given")
    assert FrozenEncoder(NAME, max_length=12).cache == given.cache


def test_without_storing(tmp_path):
    encoder = FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10, store=False)
    x = ids_of(encoder)
    assert torch.equal(encoder(x).nan_to_num(9), encoder(x).nan_to_num(9))
    assert calls(encoder) == 2
    assert not (tmp_path / "cache").exists()


def test_rows_of_padding_have_no_states(encoder):
    x = torch.cat([ids_of(encoder), torch.zeros(1, 8, dtype=torch.int64)])
    assert encoder(x)[-1].isnan().all()
    assert encoder(x[-1:]).isnan().all()
    assert encoder(x[:0]).shape == (0, 8, SIZE)
    assert encoder.fill(x) == 0


def test_leading_axes_types_and_devices(encoder):
    x = ids_of(encoder)
    states = encoder(x).nan_to_num(9)
    assert torch.equal(encoder(x.view(1, 5, 1, 8)).nan_to_num(9), states.view(1, 5, 1, 8, SIZE))
    assert torch.equal(encoder(x.int()).nan_to_num(9), states)
    assert encoder.double()(x).dtype == torch.float64


def test_unknown_words_and_ids_without_a_shift(encoder, tmp_path):
    x = ids_of(encoder, ["the zebra sat"])
    assert x.tolist() == [[4, 6, 1, 8, 5]]
    plain = FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10, shift=0)
    ids = torch.tensor([[2, 4, 1, 6, 3, 0]])
    assert torch.equal(plain(ids)[:, :5], encoder(x))
    assert calls(encoder) + calls(plain) == 1  # the key is made of the tokenizer's ids
    assert (encoder.vocab_size, plain.vocab_size) == (len(WORDS) + 2, len(WORDS))
    with pytest.raises(ArgumentError, match="the encoder must have shift=2"):
        encoder_pipeline(plain)


def test_the_pipeline_cuts_texts_and_keeps_the_last_special_token(encoder):
    x = ids_of(encoder, ["the cat " * 20])
    assert x.shape == (1, 10)
    assert x[0, 0] == 4
    assert x[0, -1] == 5
    pipeline = encoder_pipeline(encoder)
    assert len(pipeline) == encoder.vocab_size
    with pytest.raises(ArgumentTypeError, match="must be a models"):
        encoder_pipeline(nn.Linear(2, 2))


def test_bad_ids(encoder):
    with pytest.raises(ArgumentTypeError, match=r"must be integers, got torch\.float32"):
        encoder(torch.zeros(2, 3))
    with pytest.raises(ArgumentTypeError, match="x must be a tensor"):
        encoder(TEXTS)
    with pytest.raises(ShapeError, match="at least one step"):
        encoder(torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(ArgumentError, match=r"at most max_length=10 token ids, got 11"):
        encoder(torch.full((1, 11), 5))
    with pytest.raises(ArgumentError, match="must be below 17"):
        encoder(torch.tensor([[4, 19, 5]]))
    with pytest.raises(ArgumentError, match=r"plus shift=2, got -3"):
        encoder(torch.tensor([[4, -3, 5]]))
    with pytest.raises(ArgumentError, match=r"plus shift=2, got 0"):
        encoder(torch.tensor([[4, 0, 5]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 33}, "max_length must be at most 32"),
        ({"max_length": 0}, "max_length must be a positive integer"),
        ({"layer": 2}, "layer must be from -2 to 1"),
        ({"shift": -1}, "shift must be a non-negative integer"),
    ],
)
def test_bad_arguments(options, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        FrozenEncoder(NAME, cache=tmp_path, **{"max_length": 10, **options})


def test_a_source_must_be_a_name(tmp_path):
    with pytest.raises(ArgumentTypeError, match="source must be a str or a path, got int"):
        FrozenEncoder(3, cache=tmp_path)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), convert]
)
def test_copies_share_the_cache_and_hold_no_states(encoder, copied):
    x = ids_of(encoder)
    states = encoder(x)
    assert not list(encoder.parameters())
    assert encoder.state_dict() == {}
    assert len(pickle.dumps(encoder)) < 3000
    other = copied(nn.ModuleList([encoder]))[0]
    assert torch.equal(other(x).nan_to_num(9), states.nan_to_num(9))
    assert other.cache == encoder.cache


def test_a_configuration_has_no_cache(encoder):
    found = configuration_of(encoder)
    assert found == {"class": "FrozenEncoder", "arguments": {"source": NAME, "max_length": 10}}
    assert build(found).cache == encoder.cache  # given before in this process
    hostile = {"class": "FrozenEncoder", "arguments": {**found["arguments"], "cache": "/etc"}}
    assert build(hostile).cache == encoder.cache


# ------------------------------------------------------------------ under trained encoders


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_head_over_states_ignores_padding(encoder, cell, pooling):
    torch.manual_seed(0)
    head = SequenceEncoder(input_size=SIZE, hidden_size=4, cell=cell, pooling=pooling)
    model = EncodedSequence(encoder, head)
    x = ids_of(encoder)
    vectors = model(x)
    assert vectors.shape == (5, model.output_size) == (5, 4)
    assert vectors.isfinite().all()
    torch.testing.assert_close(model(nn.functional.pad(x, (0, 3))), vectors)
    for row, vector in zip(x, vectors, strict=True):
        torch.testing.assert_close(model(row[row > 0].unsqueeze(0))[0], vector)
    vectors.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert set(model.state_dict()) == {f"encoder.{name}" for name in head.state_dict()}


def test_sentence_vectors_are_means_of_states(encoder):
    x = ids_of(encoder)
    plain = FrozenSentenceEncoder(encoder, normalize=False)
    torch.testing.assert_close(plain(x), encoder(x).nanmean(-2))
    unit = FrozenSentenceEncoder(encoder)
    assert unit.output_size == SIZE
    torch.testing.assert_close(unit(x), nn.functional.normalize(plain(x), dim=-1))
    assert unit(x.expand(3, *x.shape)).shape == (3, 5, SIZE)


def test_parts_must_have_an_output_size(encoder):
    with pytest.raises(ArgumentTypeError, match="frozen must be a module with an output_size"):
        FrozenSentenceEncoder(nn.Linear(2, 2))
    with pytest.raises(ArgumentTypeError, match="encoder must be a module with an output_size"):
        EncodedSequence(encoder, nn.Linear(SIZE, 2))


def tasks_of(encoder):
    x = ids_of(encoder)
    support = torch.stack([x[[0, 1, 2]], x[[3, 4, 0]]])
    return support, torch.tensor([[0, 1, 0], [0, 1, 1]]), torch.stack([x[[4, 3]], x[[1, 2]]])


def test_prototypes_of_many_tasks_equal_a_loop(encoder):
    torch.manual_seed(0)
    head = SequenceEncoder(input_size=SIZE, hidden_size=4)
    learner = ProtoNet(EncodedSequence(encoder, head), ways=2)
    support, y, query = tasks_of(encoder)
    scores = adapted(learner, support, y, tasks=2)(query)
    for n in range(2):
        torch.testing.assert_close(adapted(learner, support[n], y[n])(query[n]), scores[n])
    before = head.state_dict()["recurrence.weight_ih_l0"].clone()
    scores.square().sum().backward()
    assert torch.equal(before, head.recurrence.weight_ih_l0)
    assert head.recurrence.weight_ih_l0.grad.abs().sum() > 0


class Own(nn.Module):
    """A user's own model, which knows no task axis."""

    def __init__(self, frozen):
        super().__init__()
        self.frozen = frozen
        self.classifier = SequenceClassifier(2, input_size=SIZE, hidden_size=4)

    def forward(self, x):
        return self.classifier(self.frozen(x))


@pytest.mark.parametrize("known", [True, False], ids=["task axis", "vmap"])
def test_gradient_steps_of_many_tasks_equal_a_loop(encoder, known):
    torch.manual_seed(0)
    if known:
        model = EncodedSequence(encoder, SequenceEncoder(input_size=SIZE, hidden_size=2))
    else:
        model = Own(encoder)
    maml = MAML(model, lr=0.3)
    support, y, query = tasks_of(encoder)

    def run(learner, support, y, query):
        loss = nn.functional.cross_entropy(
            learner(support).flatten(0, -2), y.flatten(), reduction="none"
        )
        learner.adapt(loss.view(y.shape).mean(-1))
        return learner(query)

    outputs = run(maml.clone(tasks=2), support, y, query)
    loop = torch.stack([run(maml.clone(), support[n], y[n], query[n]) for n in range(2)])
    torch.testing.assert_close(outputs, loop, rtol=1e-4, atol=1e-5)
    assert calls(encoder) == 1
    assert encoder._states is maml.clone().module.frozen._states


def test_vmap_and_traces(encoder):
    x = torch.stack([ids_of(encoder), ids_of(encoder).flip(0)])
    states = encoder(x).nan_to_num(9)
    assert torch.equal(torch.func.vmap(encoder)(x).nan_to_num(9), states)
    nested = torch.func.vmap(torch.func.vmap(encoder))
    with pytest.raises(ExportError, match="nested transforms hide"):
        nested(x)
    with pytest.raises(ExportError, match="FrozenEncoder"):
        torch.jit.script(encoder)
    with pytest.raises(ExportError, match="trace"):
        torch.jit.trace(encoder, (x,))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of many things
def test_a_compiled_model(encoder):
    x = ids_of(encoder)
    head = SequenceEncoder(input_size=SIZE, hidden_size=4)
    for model in (encoder, EncodedSequence(encoder, head), FrozenSentenceEncoder(encoder)):
        wanted = model(x).nan_to_num(9)
        torch._dynamo.reset()
        compiled = torch.compile(model, backend="eager")
        torch.testing.assert_close(compiled(x).nan_to_num(9), wanted)
    torch._dynamo.reset()
