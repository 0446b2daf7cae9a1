import itertools
import unicodedata

import home_assistant_intents
import pytest
import torch

from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.tasksets import IntentLanguages, get_tasksets, list_tasksets
from l2l_rnn.tasksets.text import intent_languages, intent_sentences
from l2l_rnn.tasksets.text.language_families import FAMILY_OF, SPLIT_OF
from tests.tasksets.text.ngram_baseline import baseline


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def splits(root):
    return {split: IntentLanguages(root, split) for split in SPLITS}


def plain(sentence):
    return "".join(c for c in unicodedata.normalize("NFKD", sentence.casefold()) if c.isalnum())


def test_splits_share_no_language_no_family_and_no_sentence(splits):
    for a, b in itertools.combinations(splits.values(), 2):
        assert not set(a.group_names) & set(b.group_names)
        assert not set(a.families) & set(b.families)
        assert not set(map(plain, a.texts)) & set(map(plain, b.texts))


def test_families_are_in_their_split(splits):
    for split, dataset in splits.items():
        for code, family in zip(dataset.group_names, dataset.families, strict=True):
            assert family == FAMILY_OF[code.partition("-")[0]]
            assert SPLIT_OF[family] == split
    assert splits["validation"].group_names == ("eu",)
    assert splits["test"].group_names == ("fi", "hu", "vi")
    assert {"de", "de-CH", "en", "pt-BR", "sr-Latn"} <= set(splits["train"].group_names)


def test_every_language_has_twenty_intents_of_twenty_sentences(splits):
    for dataset in splits.values():
        counts = dataset.grouping.counts.view(len(dataset.group_names), len(dataset.classes))
        assert ((counts == 0) | ((counts >= 20) & (counts <= 30))).all()
        assert ((counts > 0).sum(1) >= 20).all()
        assert dataset.draw(3, 5, 15, ways=20).support_x.shape == (3, 100, 64)


def test_a_class_is_the_same_intent_in_every_split(splits):
    assert len({dataset.classes for dataset in splits.values()}) == 1
    known = home_assistant_intents.get_intents("en")["intents"]
    assert set(splits["train"].classes) <= known.keys()


def test_sentences_match_their_language_and_intent(splits):
    weather = {"de": "wetter", "es": "tiempo", "eu": "eguraldi", "fi": "sää", "hu": "idő"}
    for code, word in {**weather, "vi": "thời tiết"}.items():
        (dataset,) = (d for d in splits.values() if code in d.group_names)
        group = dataset.groups == dataset.group_names.index(code)
        weather_rows = dataset.targets == dataset.classes.index("HassGetWeather")
        other_rows = dataset.targets == dataset.classes.index("HassTurnOn")
        in_weather, in_others = (
            [word in dataset.texts[i].lower() for i in (group & rows).nonzero().flatten()]
            for rows in (weather_rows, other_rows)
        )
        assert sum(in_weather) >= len(in_weather) / 6 > 0
        assert sum(in_others) <= 1  # Finnish "säätää" means to adjust


def test_items_are_the_encoded_sentences(splits):
    train = {c for sentence in splits["train"].texts for c in sentence}
    for dataset in splits.values():
        assert set(dataset.vocabulary.characters) == train
        assert dataset.inputs.shape == (len(dataset.texts), 64)
        for index in range(0, len(dataset), 200):
            ids = dataset.vocabulary.encode(dataset.texts[index])
            assert dataset[index][0].tolist() == ids + [0] * (64 - len(ids))


def test_sentences_are_cached(splits, root, monkeypatch):
    assert len(list(root.rglob("intents_languages-*.npz"))) == 1
    monkeypatch.setattr(intent_sentences, "build", None)  # sentences cannot be drawn again
    intent_languages._split_rows.cache_clear()
    again = IntentLanguages(root, "test")
    assert again.texts == splits["test"].texts
    assert torch.equal(again.inputs, splits["test"].inputs)


def test_held_out_languages_are_the_test_split(splits, root):
    test = IntentLanguages(root, "test", held_out=("eu", "vi"))
    assert test.group_names == ("eu", "vi")
    train = IntentLanguages(root, "train", held_out=("eu", "vi"))
    assert train.group_names == splits["train"].group_names
    with pytest.raises(DataError, match="must leave a language in the validation split"):
        IntentLanguages(root, "validation", held_out=("eu", "vi"))


def test_get_tasksets(root):
    tasksets = get_tasksets("intents_languages", 20, 20, 20, 20, root=root)
    x, y = tasksets.test.sample()
    assert x.shape == (400, 64)
    assert torch.bincount(y).tolist() == [20] * 20
    assert tasksets.vocab_size == len(tasksets.train.source.vocabulary)


def test_custom_vocabulary(root):
    vocabulary = CharacterVocabulary(["abc"])
    dataset = IntentLanguages(root, "test", vocabulary=vocabulary)
    assert dataset.vocabulary is vocabulary
    assert int(dataset.inputs.max()) == 4


def test_the_card(splits):
    card = list_tasksets()["intents_languages"]
    assert card.classes == tuple(len(splits[split].group_names) for split in SPLITS)
    assert card.items == tuple(len(splits[split]) for split in SPLITS)
    lengths = torch.cat([(splits[split].inputs != 0).sum(1) for split in SPLITS])
    assert card.lengths == (lengths.min(), lengths.max())
    assert baseline(splits["test"], ways=5) == pytest.approx(card.baseline[1], abs=0.03)
    assert baseline(splits["test"], ways=20, tasks=10) < 0.85


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "tset"}, UnknownNameError, "unknown split 'tset'; did you mean 'test'"),
        ({"scripts": "Latin"}, UnknownNameError, "did you mean 'latin'"),
        ({"held_out": "fi"}, ArgumentTypeError, r"pass \('fi',\)"),
        ({"held_out": ()}, ArgumentError, "at least one language, got none"),
        ({"held_out": ("xx",)}, UnknownNameError, "unknown language 'xx' in held_out"),
        ({"held_out": ("et",)}, DataError, "'et' must have min_intents=20"),
        ({"held_out": ("el",)}, DataError, "'el' must have min_intents=20.*scripts='all'"),
        ({"held_out": ("de",)}, DataError, "must leave a language in the train split"),
        ({"min_intents": 0}, ArgumentError, "min_intents must be a positive integer, got 0"),
        ({"min_intents": 99}, DataError, "min_intents=99.*a language in the train split"),
        ({"max_sentences": 19}, ArgumentError, "at least min_sentences=20, got 19"),
        ({"seed": 0.5}, ArgumentError, "seed must be a non-negative integer, got 0.5"),
        ({"vocabulary": "abc"}, ArgumentTypeError, "CharacterVocabulary or None, got str"),
    ],
)
def test_bad_input(root, options, error, message):
    with pytest.raises(error, match=message) as caught:
        IntentLanguages(root, **options)
    assert str(caught.value).startswith("IntentLanguages: ")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_all_scripts(root):
    options = {"scripts": "all", "min_intents": 29}
    assert IntentLanguages(root, "validation", **options).group_names == ("eu", "ml", "th")
    test = IntentLanguages(root, "test", **options).group_names
    assert {"ar", "fi", "hu", "zh-CN", "zh-TW"} <= set(test)
    assert "vi" not in test
