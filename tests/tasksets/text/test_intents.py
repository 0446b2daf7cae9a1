import collections
import json
import os
import random
import re
import subprocess
import sys

import hassil
import home_assistant_intents
import learn2learn
import pytest
import torch

from l2l_rnn.data import ByteVocabulary, CharacterVocabulary, WordVocabulary
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    MissingExtraError,
    UnknownNameError,
)
from l2l_rnn.tasksets import Intents, get_tasksets, list_tasksets
from l2l_rnn.tasksets.text import intent_sentences, intent_splits
from l2l_rnn.tasksets.text.intent_fillings import fillings
from tests.tasksets.text.ngram_baseline import baseline

OPEN = ("area", "floor", "name", "timer_name", "timer_command")  # slots with our own fillers


@pytest.fixture(scope="module")
def splits():
    return {split: Intents(split=split) for split in SPLITS}


def by_class(dataset):
    groups = collections.defaultdict(list)
    for sentence, label in zip(dataset.texts, dataset.labels.tolist(), strict=True):
        groups[dataset.classes[label]].append(sentence)
    return groups


def test_splits_share_no_intent_and_all_timers_are_in_test(splits):
    classes = [intent for dataset in splits.values() for intent in dataset.classes]
    assert len(classes) == len(set(classes)) >= 36
    assert all("Timer" in intent for intent in splits["test"].classes)
    assert not any("Timer" in i for m in ("train", "validation") for i in splits[m].classes)
    assert all(("List" in i) <= (i in splits["validation"].classes) for i in classes)
    assert set(classes) <= home_assistant_intents.get_intents("en")["intents"].keys()


def test_no_sentence_belongs_to_two_intents(splits):
    folded = [s.casefold() for dataset in splits.values() for s in dataset.texts]
    assert len(folded) == len(set(folded))


def test_every_intent_has_enough_sentences_of_valid_length(splits):
    for dataset in splits.values():
        assert len(dataset.classes) >= 5
        for sentences in by_class(dataset).values():
            assert 30 <= len(sentences) <= 60
            assert max(map(len, sentences)) <= 64


def test_no_two_sentences_of_an_intent_differ_only_in_a_number_or_a_name(splits):
    words = [word for slot in OPEN for word in fillings("en", slot)]
    slots = re.compile("|".join([r"\d+", *sorted(map(re.escape, words), key=len, reverse=True)]))
    for intent, sentences in by_class(splits["test"]).items():
        forms = collections.Counter(slots.sub("_", sentence) for sentence in sentences)
        assert forms.most_common(1)[0][1] == 1, (intent, forms.most_common(2))


@pytest.fixture(scope="module")
def home():
    """Hassil's recognizer, for a home with the rooms and devices of our fillers."""
    data = home_assistant_intents.get_intents("en")
    for slot in ("area", "floor", "name"):
        values = [{"in": value, "out": value} for value in fillings("en", slot)]
        data["lists"][slot] = {"values": values}
    for intent in data["intents"].values():
        for block in intent["data"]:
            block.pop("requires_context", None)
    return hassil.Intents.from_dict(data)


def test_hassil_recognizes_the_sentences(splits, home):
    pairs = [(s, i) for d in splits.values() for i, own in by_class(d).items() for s in own]
    ambiguous = 0
    for sentence, intent in random.Random(0).sample(pairs, 150):
        found = {result.intent.name for result in hassil.recognize_all(sentence, home)}
        assert intent in found, sentence
        ambiguous += len(found) > 1
    assert ambiguous <= 5  # free text may be any sentence, as in "play …"


def test_sentences_are_varied(splits):
    for intent in ("HassTurnOn", "HassLightSet", "HassGetState"):
        sentences = by_class(splits["train"])[intent]
        assert len({sentence.split()[0] for sentence in sentences}) >= 10
    rooms = fillings("en", "area")
    named = collections.Counter(r for s in splits["train"].texts for r in rooms if r in s)
    assert min(named[room] for room in rooms) >= 5


def test_every_branch_is_equally_likely():
    grammar = intent_sentences._Grammar("en")
    grammar._templates = {"greet": [("(hi|[good] day|(a;b)) [<all>] {timer_half}", ())]}
    grammar._rules, grammar._lists = {"all": "(all|both)"}, {"timer_half": {"values": ["x", "y"]}}
    draws = random.Random(0)
    drawn = collections.Counter(grammar.draw("greet", draws) for _ in range(9600))
    assert len(drawn) == 5 * 3 * 2
    starts, rest = collections.Counter(), collections.Counter()
    for (form, sentence), count in drawn.items():
        assert form.endswith(" {}")
        assert sentence[-1] in "xy"
        start, _, end = form.removesuffix(" {}").partition(" all")
        start, _, both = start.partition(" both")
        assert end == both == ""
        starts[start] += count
        rest["all" in form, "both" in form] += count
    expected = {"hi": 3200, "good day": 1600, "day": 1600, "a b": 1600, "b a": 1600}
    assert starts.keys() == expected.keys()
    assert all(abs(starts[key] - expected[key]) < 200 for key in expected)
    assert abs(rest[False, False] - 4800) < 250
    assert abs(rest[True, False] - 2400) < 250


def test_items_are_the_encoded_sentences(splits):
    train = {c for sentence in splits["train"].texts for c in sentence}
    for dataset in splits.values():
        assert set(dataset.vocabulary.characters) == train
        assert dataset.sequences.shape == (len(dataset.texts), 64)
        for index in random.Random(0).sample(range(len(dataset)), k=100):
            ids = dataset.vocabulary.encode(dataset.texts[index])
            assert dataset[index][0].tolist() == ids + [0] * (64 - len(ids))


def test_a_seed_determines_the_sentences(splits):
    intent_sentences.build.cache_clear()
    assert Intents(split="test").texts == splits["test"].texts
    other = Intents(split="test", seed=1)
    assert other.classes == splits["test"].classes
    shared = set(other.texts) & set(splits["test"].texts)
    assert len(shared) < len(other) / 3


@pytest.mark.slow
def test_hash_randomization_changes_nothing(splits):
    code = (
        "import json; from l2l_rnn.tasksets import Intents;"
        "print(json.dumps(Intents(split='test').texts))"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(run.stdout) == splits["test"].texts


def test_another_language():
    dataset = Intents(split="test", language="fi")
    assert "HassStartTimer" in dataset.classes
    starts = by_class(dataset)["HassStartTimer"]
    assert sum("aja" in sentence or "laske" in sentence for sentence in starts) > len(starts) / 2


def test_twenty_ways():
    x, y = get_tasksets("intents", train_ways=20, train_samples=30).train.sample()
    assert x.shape == (600, 64)
    assert torch.bincount(y).tolist() == [30] * 20


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """The splits with many test domains, and training intents of three other languages."""
    options = {"test_domains": "wide", "train_languages": ("de", "de-CH", "ru", "en")}
    root = tmp_path_factory.mktemp("wide")
    return {split: Intents(root, split, min_sentences=20, **options) for split in SPLITS}


def test_the_wide_split_has_twenty_test_intents_and_shares_none(wide):
    test, validation = (set(wide[split].classes) for split in ("test", "validation"))
    assert len(test) >= 20
    assert 5 <= len(validation) <= 8
    intents = {name.split(" ")[0] for name in wide["train"].classes}
    assert not intents & test
    assert not intents & validation
    assert not test & validation
    assert {name for name in test if "Timer" in name or "Media" in name or "List" in name} >= {
        "HassStartTimer",
        "HassMediaNext",
        "HassListAddItem",
    }
    batch = wide["test"].draw(3, 5, 10, ways=20)
    assert batch.support_x.shape == (3, 100, 64)


def test_other_languages_add_training_classes_only(wide):
    train = wide["train"]
    alone = Intents(split="train", test_domains="wide", min_sentences=20)
    own = train.classes[: len(alone.classes)]
    assert own == alone.classes
    added = train.classes[len(own) :]
    assert {name.split(" ")[1] for name in added} == {"(de)", "(de-CH)", "(ru)"}
    assert len(added) >= 20
    assert "HassTurnOn (ru)" in added
    sentences = by_class(train)["HassTurnOn (ru)"]
    assert all(any("а" <= letter <= "я" for letter in s.lower()) for s in sentences)
    assert sentences[0] in set(intent_sentences.build("ru", (20, 60, 64, 0))["HassTurnOn"])
    assert min(map(len, by_class(train).values())) >= 20
    for split in ("validation", "test"):
        own = Intents(split=split, test_domains="wide", min_sentences=20)
        assert wide[split].texts == own.texts


def test_no_sentence_of_the_wide_split_is_in_two_classes(wide):
    folded = [s.casefold() for dataset in wide.values() for s in dataset.texts]
    assert len(folded) == len(set(folded))
    assert set(wide["test"].vocabulary.characters) == {c for s in wide["train"].texts for c in s}


def test_sentences_of_other_languages_are_cached(wide, tmp_path, monkeypatch):
    options = {"test_domains": "wide", "train_languages": ("sl",), "max_sentences": 30}
    first = Intents(tmp_path, **options)
    assert list(tmp_path.iterdir())
    intent_splits.foreign_sentences.cache_clear()
    built = []
    proper = intent_sentences.build
    monkeypatch.setattr(
        intent_sentences, "build", lambda *given: built.append(given[0]) or proper(*given)
    )
    assert Intents(tmp_path, **options).texts == first.texts
    assert set(built) == {"en"}


def test_latin_languages_are_chosen():
    codes = intent_splits.check_train_languages("Intents", "latin", "en")
    assert {"de", "fi"} <= set(codes)
    assert not {"en", "ru", "zh-CN"} & set(codes)
    every = intent_splits.check_train_languages("Intents", "all", "de")
    assert len(every) == len(intent_sentences.known_languages()) - 1


def test_nothing_is_written(tmp_path):
    Intents(root=tmp_path / "nowhere", download=True)
    assert not list(tmp_path.iterdir())


def test_transforms_and_a_learn2learn_taskset():
    dataset = Intents("~/data", "test", lambda x: x[:3], lambda y: y + 100)
    assert dataset[0][0].shape == (3,)
    assert dataset[0][1] == 100
    meta = learn2learn.data.MetaDataset(Intents(split="test"))
    transforms = [
        learn2learn.data.transforms.FusedNWaysKShots(meta, n=5, k=4),
        learn2learn.data.transforms.LoadData(meta),
    ]
    x, y = learn2learn.data.Taskset(meta, transforms).sample()
    assert x.shape == (20, 64)
    assert len(y.unique()) == 5


def test_custom_vocabulary():
    vocabulary = CharacterVocabulary(["abc"])
    dataset = Intents(split="test", vocabulary=vocabulary)
    assert dataset.vocabulary is vocabulary
    assert int(dataset.sequences.max()) == 4


def test_the_card(splits):
    card = list_tasksets()["intents"]
    assert card.classes == tuple(len(splits[split].classes) for split in SPLITS)
    assert card.items == tuple(len(splits[split]) for split in SPLITS)
    lengths = torch.cat([(splits[split].sequences != 0).sum(1) for split in SPLITS])
    assert card.lengths == (lengths.min(), lengths.max())
    assert baseline(splits["test"]) == pytest.approx(card.baseline[1], abs=0.03)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "val"}, UnknownNameError, "unknown split 'val'. Known: train, validation, test"),
        ({"language": "english"}, UnknownNameError, "unknown language 'english'"),
        ({"language": "pt_BR"}, UnknownNameError, "unknown language 'pt_BR'.*mean 'pt-BR'"),
        ({"language": None}, UnknownNameError, "unknown language None"),
        (
            {"language": "sw", "split": "test"},
            DataError,
            "'sw' must have an intent in the test split",
        ),
        ({"min_sentences": 0}, ArgumentError, "min_sentences must be a positive integer, got 0"),
        ({"max_sentences": 29}, ArgumentError, "at least min_sentences=30, got 29"),
        ({"max_length": 2.5}, ArgumentError, "max_length must be a positive integer, got 2.5"),
        ({"max_length": 1}, DataError, "in the train split .* max_length=1, got none"),
        ({"seed": -1}, ArgumentError, "seed must be a non-negative integer, got -1"),
        ({"test_domains": "all"}, UnknownNameError, "unknown test_domains 'all'.*timers, wide"),
        ({"train_languages": "de"}, ArgumentTypeError, "sequence of language codes, got 'de'"),
        ({"train_languages": 3}, ArgumentTypeError, "sequence of language codes, got int"),
        ({"train_languages": ()}, ArgumentError, "must name at least one language, got none"),
        ({"train_languages": ("de", "xx")}, UnknownNameError, "unknown language 'xx'"),
        ({"seed": "0"}, ArgumentError, "seed must be a non-negative integer, got '0'"),
        (
            {"vocabulary": "abc"},
            ArgumentTypeError,
            "such as a CharacterVocabulary, or None, got str",
        ),
        ({"vocabulary": str.split}, ArgumentTypeError, "a text pipeline with a length"),
        ({"vocabulary": ByteVocabulary}, ArgumentTypeError, "got type; build one"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message) as caught:
        Intents(**options)
    assert str(caught.value).startswith("Intents: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["home_assistant_intents", "hassil"])
def test_without_the_package(monkeypatch, package):
    intent_sentences.build.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"task set 'intents'.*pip install"):
        Intents(seed=2)


@pytest.mark.parametrize("make", [ByteVocabulary, lambda: WordVocabulary(["the light", "de la"])])
def test_any_sized_pipeline_can_be_the_vocabulary(make):
    vocabulary = make()
    dataset = Intents(split="test", vocabulary=vocabulary)
    assert dataset.vocabulary is vocabulary
    assert dataset.sequences.shape[1] == 64
    for sequence, text in zip(dataset.sequences.tolist(), dataset.texts, strict=True):
        ids = list(vocabulary(text))[: len(sequence)]
        assert sequence == ids + [0] * (len(sequence) - len(ids))
    tasksets = get_tasksets("intents", vocabulary=vocabulary)
    assert tasksets.vocab_size == len(vocabulary)
