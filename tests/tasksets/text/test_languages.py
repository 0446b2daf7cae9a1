import collections
import random
import sys
import unicodedata

import babel.localedata
import learn2learn
import pytest
import torch
from torch.utils.data import DataLoader

from l2l_rnn.data import ByteVocabulary, CharacterVocabulary, WordVocabulary
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    MissingExtraError,
    UnknownNameError,
)
from l2l_rnn.tasksets import Languages, get_tasksets
from l2l_rnn.tasksets.text import cldr, language_names
from l2l_rnn.tasksets.text.cldr import known_languages, read_names
from l2l_rnn.tasksets.text.language_families import _CODES_BY_FAMILY, FAMILY_OF, SPLIT_OF
from l2l_rnn.tasksets.text.language_names import fold

OPTIONS = {
    "default": {},
    "all scripts": {"scripts": "all"},
    "held out": {"held_out": ("sw", "tr", "fi", "nb")},
    "short": {"min_names": 100, "max_length": 10},
}


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS)
def options(request):
    return request.param


@pytest.fixture(scope="module")
def splits(options):
    return {split: Languages(split=split, **options) for split in SPLITS}


def by_language(dataset):
    groups = collections.defaultdict(list)
    for name, label in zip(dataset.texts, dataset.labels.tolist(), strict=True):
        groups[dataset.classes[label]].append(name)
    return groups


def plain(name):
    """A second implementation of `fold`, to check it."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    scripts = {unicodedata.name(c).split()[0] for c in decomposed if c.isalpha()}
    marked = scripts - {"LATIN", "MODIFIER", "GREEK", "CYRILLIC", "ARABIC", "HEBREW"}
    return "".join(
        c for c in decomposed if unicodedata.category(c)[0] in ("LNM" if marked else "LN")
    )


def overlaps(sets):
    return [(a, b) for a in sets for b in sets if a < b and sets[a] & sets[b]]


def test_splits_share_no_language_and_no_family(splits):
    assert not overlaps({split: set(d.classes) for split, d in splits.items()})
    assert not overlaps({split: set(d.families) for split, d in splits.items()})


def test_splits_share_no_name_and_no_near_duplicate(splits):
    assert not overlaps({split: {n.casefold() for n in d.texts} for split, d in splits.items()})
    assert not overlaps({split: {plain(n) for n in d.texts} for split, d in splits.items()})


def test_no_name_is_in_two_languages(splits):
    counts = collections.Counter(n.casefold() for d in splits.values() for n in d.texts)
    assert max(counts.values()) == 1


def test_no_near_duplicate_within_a_language(splits):
    for dataset in splits.values():
        for names in by_language(dataset).values():
            assert len({plain(name) for name in names}) == len(names)


def test_near_duplicate_locales_are_one_class(splits):
    classes = {code for d in splits.values() for code in d.classes}
    for group in ("nb no nn", "cgg nyn", "jmc rwk vun", "fr ht", "dje khq ses twq"):
        assert len(classes & set(group.split())) <= 1, group


def test_every_class_has_enough_names_of_valid_length(splits, options):
    for dataset in splits.values():
        counts = torch.bincount(dataset.labels, minlength=len(dataset.classes))
        assert counts.min() >= options.get("min_names", 60)
        assert max(map(len, dataset.texts)) <= options.get("max_length", 32)


def test_names_are_clean(splits, options):
    for dataset in splits.values():
        for name in dataset.texts:
            assert name == unicodedata.normalize("NFC", name).strip()
            assert any(map(str.isalpha, name))
            if options.get("scripts") != "all":
                kinds = {unicodedata.name(c).split()[0] for c in name if c.isalpha()}
                assert kinds <= {"LATIN", "MODIFIER"}


def test_items_are_the_encoded_names(splits):
    for dataset in splits.values():
        assert dataset.sequences.dtype == dataset.labels.dtype == torch.int64
        assert len(dataset) == len(dataset.texts) == len(dataset.labels)
        for index in random.Random(0).sample(range(len(dataset)), k=200):
            ids = dataset.vocabulary.encode(dataset.texts[index])
            sequence, label = dataset[index]
            assert sequence.tolist() == ids + [0] * (len(sequence) - len(ids))
            assert dataset.families[label] == FAMILY_OF[dataset.classes[label]]


def test_vocabulary_is_built_from_train_only(splits):
    characters = {c for name in splits["train"].texts for c in name}
    assert all(set(d.vocabulary.characters) == characters for d in splits.values())
    assert not (splits["train"].sequences == CharacterVocabulary.UNKNOWN).any()


def test_sizes_of_the_default_split():
    train, validation, test = (Languages(split=split) for split in SPLITS)
    assert len(train.classes) >= 100
    assert len(validation.classes) >= 12
    assert len(test.classes) >= 25
    assert len(set(test.families)) >= 6
    assert {"fr", "no", "en", "sw"} <= set(train.classes)  # none is merged into a near-duplicate
    assert len(by_language(train)["fr"]) > 500


def test_all_scripts_is_larger():
    for split in SPLITS:
        latin, every = Languages(split=split), Languages(split=split, scripts="all")
        assert len(every.classes) > len(latin.classes)
    scripts = {unicodedata.name(c).split()[0] for n in every.texts for c in n if c.isalpha()}
    assert {"ARABIC", "ETHIOPIC", "GEORGIAN", "HIRAGANA", "LATIN"} <= scripts


def test_held_out_replaces_the_test_languages_and_removes_their_families():
    default = {split: Languages(split=split) for split in SPLITS}
    other = {split: Languages(split=split, held_out=["sw", "tr", "sw"]) for split in SPLITS}
    assert other["test"].classes == ("sw", "tr")
    assert set(other["train"].families) == {"Indo-European", "Constructed"}
    assert set(other["validation"].families) == set(default["validation"].families) - {"Turkic"}
    # Fewer languages share names, so more may reach min_names. None is lost.
    kept = {code for code in default["train"].classes if FAMILY_OF[code] != "Niger-Congo"}
    assert set(other["train"].classes) >= kept


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Łódź É", "łódz-e", True),
        ("Ελλάδα", "ελλαδα", True),
        ("Йемен", "ИЕМЕН", True),
        ("ʻŌlelo", "ʻolelo", True),
        ("أفريقيا", "افريقيا", True),
        ("עִבְרִית", "עברית", True),
        ("हिन्दी", "हुन्दी", False),
        ("काला", "कला", False),
        ("ขา", "ข่า", False),
        ("カ", "ガ", False),
        ("भाषा!", "भा षा", True),
    ],
)
def test_fold_removes_accents_and_keeps_vowels(one, other, same):
    assert (fold(one) == fold(other)) is same


def test_fold_keeps_the_letters_of_latin_names():
    for code in known_languages():
        for name in read_names(code, "latin", 32).values():
            letters = filter(str.isalnum, unicodedata.normalize("NFKD", name.casefold()))
            assert fold(name) == "".join(letters)


def test_a_held_out_language_represents_its_near_duplicates():
    assert Languages(split="test", held_out=("nb",)).classes == ("nb",)


def test_datasets_share_a_build_and_change_independently(options):
    first, second = Languages(split="test", **options), Languages(split="test", **options)
    assert first.vocabulary is second.vocabulary
    assert first.texts == second.texts
    assert torch.equal(first.sequences, second.sequences)
    first.texts.clear()
    first.sequences.zero_()
    assert Languages(split="test", **options).texts == second.texts
    assert Languages(split="test", **options).sequences.any()


def test_a_second_build_is_the_same():
    before = Languages(split="validation")
    language_names.build.cache_clear()
    cldr._raw_names.cache_clear()
    after = Languages(split="validation")
    assert before.texts == after.texts
    assert before.classes == after.classes


def test_custom_vocabulary():
    vocabulary = CharacterVocabulary(["abc"])
    dataset = Languages(split="test", vocabulary=vocabulary)
    assert dataset.vocabulary is vocabulary
    assert int(dataset.sequences.max()) == 4
    assert (dataset.sequences[:, 0] > 0).all()


def test_nothing_is_written(tmp_path):
    Languages(root=tmp_path / "nowhere", download=True)
    assert not list(tmp_path.iterdir())


def test_transforms():
    dataset = Languages("~/data", "test", lambda x: x[:3], lambda y: y + 100)
    sequence, label = dataset[0]
    assert sequence.shape == (3,)
    assert label == 100


def test_learn2learn_taskset_and_torch_loader():
    dataset = Languages(split="validation")
    meta = learn2learn.data.MetaDataset(dataset)
    assert meta.labels_to_indices == dataset.meta().labels_to_indices
    transforms = [
        learn2learn.data.transforms.FusedNWaysKShots(meta, n=5, k=4),
        learn2learn.data.transforms.LoadData(meta),
    ]
    x, y = learn2learn.data.Taskset(dataset.meta(), transforms).sample()
    assert x.shape == (20, 32)
    assert len(y.unique()) == 5
    x, y = next(iter(DataLoader(dataset, batch_size=16, shuffle=True)))
    assert x.shape == (16, 32)
    assert y.shape == (16,)


def test_every_babel_language_has_a_family_and_every_family_a_split():
    named = {code for code in babel.localedata.locale_identifiers() if "_" not in code}
    assert named <= FAMILY_OF.keys()
    assert set(FAMILY_OF.values()) == SPLIT_OF.keys()
    assert set(SPLIT_OF.values()) == set(SPLITS)


def test_no_code_is_in_two_families():
    codes = " ".join(_CODES_BY_FAMILY.values()).split()
    assert len(codes) == len(set(codes)) == len(FAMILY_OF)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "val"}, UnknownNameError, "unknown split 'val'. Known: train, validation, test"),
        ({"split": "valid"}, UnknownNameError, "unknown split 'valid'; did you mean 'validation'"),
        ({"split": "tset"}, UnknownNameError, "unknown split 'tset'; did you mean 'test'"),
        ({"split": None}, UnknownNameError, "unknown split None. Known: train, validation, test"),
        ({"scripts": "Latin"}, UnknownNameError, "did you mean 'latin'"),
        ({"held_out": "fi"}, ArgumentTypeError, r"pass \('fi',\)"),
        ({"held_out": (1,)}, ArgumentTypeError, "pass each code as a str"),
        ({"held_out": ([],)}, ArgumentTypeError, "pass each code as a str"),
        ({"held_out": ()}, ArgumentError, "at least one language, got none"),
        ({"held_out": ("Finnish",)}, UnknownNameError, "unknown language 'Finnish'.*mean 'fi'"),
        ({"held_out": ("fii",)}, UnknownNameError, "unknown language 'fii'.*did you mean.*'fi'"),
        (
            {"held_out": 5},
            ArgumentTypeError,
            "held_out must be a sequence of language codes, got 5",
        ),
        ({"held_out": ("xx",)}, UnknownNameError, "unknown language 'xx'"),
        ({"held_out": ("",)}, UnknownNameError, "unknown language ''"),
        ({"held_out": ("aa",)}, DataError, "'aa' must have min_names=60"),
        ({"held_out": ("ru",)}, DataError, "'ru' must have min_names=60.*got 0;.*scripts='all'"),
        ({"held_out": ("nb", "no")}, DataError, "near-duplicates, got .* keep one of the two"),
        ({"min_names": 0}, ArgumentError, "min_names must be a positive integer, got 0"),
        ({"min_names": "60"}, ArgumentError, "min_names must be a positive integer, got '60'"),
        ({"max_length": -1}, ArgumentError, "max_length must be a positive integer, got -1"),
        ({"max_length": 2.5}, ArgumentError, "max_length must be a positive integer, got 2.5"),
        ({"max_length": True}, ArgumentError, "max_length must be a positive integer, got True"),
        (
            {"vocabulary": "abc"},
            ArgumentTypeError,
            "such as a CharacterVocabulary, or None, got str",
        ),
        ({"vocabulary": str.split}, ArgumentTypeError, "a text pipeline with a length"),
        ({"vocabulary": ByteVocabulary}, ArgumentTypeError, "got type; build one"),
        ({"min_names": 10**6}, DataError, "must leave a language in the train split, got none"),
        ({"max_length": 1}, DataError, "must leave a language in the train split, got none"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message) as caught:
        Languages(**options)
    assert str(caught.value).startswith("Languages: ")
    assert "\n" not in str(caught.value)


def test_without_babel(monkeypatch):
    monkeypatch.setitem(sys.modules, "babel.localedata", None)
    with pytest.raises(
        MissingExtraError, match=r"'languages' and 'translation'.*pip install babel"
    ):
        Languages(held_out=("fi",))


@pytest.mark.parametrize("make", [ByteVocabulary, lambda: WordVocabulary(["the light", "de la"])])
def test_any_sized_pipeline_can_be_the_vocabulary(make):
    vocabulary = make()
    dataset = Languages(split="test", vocabulary=vocabulary)
    assert dataset.vocabulary is vocabulary
    assert dataset.sequences.shape[1] == 32
    for sequence, text in zip(dataset.sequences.tolist(), dataset.texts, strict=True):
        ids = list(vocabulary(text))[: len(sequence)]
        assert sequence == ids + [0] * (len(sequence) - len(ids))
    tasksets = get_tasksets("languages", vocabulary=vocabulary)
    assert tasksets.vocab_size == len(vocabulary)
