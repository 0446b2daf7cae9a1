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
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    MissingExtraError,
    UnknownNameError,
)
from l2l_rnn.tasksets import Languages, get_tasksets
from l2l_rnn.tasksets.text import language_names
from l2l_rnn.tasksets.text.language_families import _CODES_BY_FAMILY, FAMILY_OF, SPLIT_OF
from l2l_rnn.tasksets.text.language_names import fold, known_languages, read_names

MODES = ("train", "validation", "test")
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
    return {mode: Languages(mode=mode, **options) for mode in MODES}


def by_language(dataset):
    groups = collections.defaultdict(list)
    for name, label in zip(dataset.names, dataset.labels.tolist(), strict=True):
        groups[dataset.classes[label]].append(name)
    return groups


def plain(name):
    """Written apart from the library's own `fold`, to check it."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    scripts = {unicodedata.name(c).split()[0] for c in decomposed if c.isalpha()}
    marked = scripts - {"LATIN", "MODIFIER", "GREEK", "CYRILLIC", "ARABIC", "HEBREW"}
    return "".join(
        c for c in decomposed if unicodedata.category(c)[0] in ("LNM" if marked else "LN")
    )


def overlaps(sets):
    return [(a, b) for a in sets for b in sets if a < b and sets[a] & sets[b]]


def test_no_language_and_no_family_crosses(splits):
    assert not overlaps({mode: set(d.classes) for mode, d in splits.items()})
    assert not overlaps({mode: set(d.families) for mode, d in splits.items()})


def test_no_string_and_no_near_duplicate_crosses(splits):
    assert not overlaps({mode: {n.casefold() for n in d.names} for mode, d in splits.items()})
    assert not overlaps({mode: {plain(n) for n in d.names} for mode, d in splits.items()})


def test_no_string_is_in_two_languages(splits):
    counts = collections.Counter(n.casefold() for d in splits.values() for n in d.names)
    assert max(counts.values()) == 1


def test_no_near_duplicate_within_a_language(splits):
    for dataset in splits.values():
        for names in by_language(dataset).values():
            assert len({plain(name) for name in names}) == len(names)


def test_near_duplicate_locales_are_one_class(splits):
    classes = {code for d in splits.values() for code in d.classes}
    for group in ("nb no nn", "cgg nyn", "jmc rwk vun", "fr ht", "dje khq ses twq"):
        assert len(classes & set(group.split())) <= 1, group


def test_every_class_has_enough_names_of_fitting_length(splits, options):
    for dataset in splits.values():
        counts = torch.bincount(dataset.labels, minlength=len(dataset.classes))
        assert counts.min() >= options.get("min_names", 60)
        assert max(map(len, dataset.names)) <= options.get("max_length", 32)


def test_names_are_clean(splits, options):
    for dataset in splits.values():
        for name in dataset.names:
            assert name == unicodedata.normalize("NFC", name).strip()
            assert any(map(str.isalpha, name))
            if options.get("scripts") != "all":
                kinds = {unicodedata.name(c).split()[0] for c in name if c.isalpha()}
                assert kinds <= {"LATIN", "MODIFIER"}


def test_items_are_the_encoded_names(splits):
    for dataset in splits.values():
        assert dataset.sequences.dtype == dataset.labels.dtype == torch.int64
        assert len(dataset) == len(dataset.names) == len(dataset.labels)
        for index in random.Random(0).sample(range(len(dataset)), k=200):
            ids = dataset.vocabulary.encode(dataset.names[index])
            sequence, label = dataset[index]
            assert sequence.tolist() == ids + [0] * (len(sequence) - len(ids))
            assert dataset.families[label] == FAMILY_OF[dataset.classes[label]]


def test_vocabulary_is_from_train_alone(splits):
    characters = {c for name in splits["train"].names for c in name}
    assert all(set(d.vocabulary.characters) == characters for d in splits.values())
    assert not (splits["train"].sequences == CharacterVocabulary.UNKNOWN).any()


def test_sizes_of_the_usual_split():
    train, validation, test = (Languages(mode=mode) for mode in MODES)
    assert len(train.classes) >= 100
    assert len(validation.classes) >= 12
    assert len(test.classes) >= 25
    assert len(set(test.families)) >= 6
    assert {"fr", "no", "en", "sw"} <= set(train.classes)  # none swallowed by a near-copy
    assert len(by_language(train)["fr"]) > 500


def test_all_scripts_is_larger():
    for mode in MODES:
        latin, every = Languages(mode=mode), Languages(mode=mode, scripts="all")
        assert len(every.classes) > len(latin.classes)
    scripts = {unicodedata.name(c).split()[0] for n in every.names for c in n if c.isalpha()}
    assert {"ARABIC", "ETHIOPIC", "GEORGIAN", "HIRAGANA", "LATIN"} <= scripts


def test_held_out_replaces_the_test_languages_and_empties_their_families():
    usual = {mode: Languages(mode=mode) for mode in MODES}
    other = {mode: Languages(mode=mode, held_out=["sw", "tr", "sw"]) for mode in MODES}
    assert other["test"].classes == ("sw", "tr")
    assert set(other["train"].families) == {"Indo-European", "Constructed"}
    assert set(other["validation"].families) == set(usual["validation"].families) - {"Turkic"}
    # As fewer languages share names, some more may reach min_names; none is lost.
    stay = {code for code in usual["train"].classes if FAMILY_OF[code] != "Niger-Congo"}
    assert set(other["train"].classes) >= stay


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
def test_accents_are_folded_and_vowels_are_not(one, other, same):
    assert (fold(one) == fold(other)) is same


def test_latin_names_are_folded_to_their_letters():
    for code in known_languages():
        for name in read_names(code, "latin", 32).values():
            letters = filter(str.isalnum, unicodedata.normalize("NFKD", name.casefold()))
            assert fold(name) == "".join(letters)


def test_a_held_out_language_stands_for_its_near_duplicates():
    assert Languages(mode="test", held_out=("nb",)).classes == ("nb",)


def test_building_is_shared_and_repeatable(options):
    first, second = Languages(mode="test", **options), Languages(mode="test", **options)
    assert first.vocabulary is second.vocabulary
    assert first.names == second.names
    assert torch.equal(first.sequences, second.sequences)
    first.names.clear()
    first.sequences.zero_()
    assert Languages(mode="test", **options).names == second.names
    assert Languages(mode="test", **options).sequences.any()


def test_a_build_from_nothing_is_the_same():
    before = Languages(mode="validation")
    language_names.build.cache_clear()
    language_names._raw.cache_clear()
    after = Languages(mode="validation")
    assert before.names == after.names
    assert before.classes == after.classes


def test_a_vocabulary_of_ones_own():
    vocabulary = CharacterVocabulary(["abc"])
    dataset = Languages(mode="test", vocabulary=vocabulary)
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


def test_learn2learns_own_task_dataset_and_loader():
    dataset = Languages(mode="validation")
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


def test_every_language_of_babel_has_a_family_and_every_family_a_split():
    named = {code for code in babel.localedata.locale_identifiers() if "_" not in code}
    assert named <= FAMILY_OF.keys()
    assert set(FAMILY_OF.values()) == SPLIT_OF.keys()
    assert set(SPLIT_OF.values()) == set(MODES)


def test_no_code_stands_in_two_families():
    codes = " ".join(_CODES_BY_FAMILY.values()).split()
    assert len(codes) == len(set(codes)) == len(FAMILY_OF)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "val"}, UnknownNameError, "unknown mode 'val'; did you mean 'validation'"),
        ({"mode": "tset"}, UnknownNameError, "unknown mode 'tset'; did you mean 'test'"),
        ({"mode": None}, UnknownNameError, "unknown mode None. Known: train, validation, test"),
        ({"scripts": "Latin"}, UnknownNameError, "did you mean 'latin'"),
        ({"held_out": "fi"}, ArgumentTypeError, r"pass \('fi',\)"),
        ({"held_out": (1,)}, ArgumentTypeError, "give each code as a str"),
        ({"held_out": ([],)}, ArgumentTypeError, "give each code as a str"),
        ({"held_out": ()}, ArgumentError, "at least one language, got none"),
        ({"held_out": ("Finnish",)}, UnknownNameError, "unknown language 'Finnish'.*mean 'fi'"),
        ({"held_out": ("fii",)}, UnknownNameError, "unknown language 'fii'.*did you mean.*'fi'"),
        ({"held_out": 5}, ArgumentTypeError, "held_out must be a sequence of codes, got 5"),
        ({"held_out": ("xx",)}, UnknownNameError, "unknown language 'xx'"),
        ({"held_out": ("",)}, UnknownNameError, "unknown language ''"),
        ({"held_out": ("aa",)}, DataError, "'aa' needs min_names=60"),
        ({"held_out": ("ru",)}, DataError, "'ru' needs min_names=60.*has 0;.*scripts='all'"),
        ({"held_out": ("nb", "no")}, DataError, "near-duplicate"),
        ({"min_names": 0}, ArgumentError, "min_names must be an integer of 1 or more, got 0"),
        ({"min_names": "60"}, ArgumentError, "min_names must be an integer.*got '60'"),
        ({"max_length": -1}, ArgumentError, "max_length must be an integer.*got -1"),
        ({"max_length": 2.5}, ArgumentError, "max_length must be an integer.*got 2.5"),
        ({"max_length": True}, ArgumentError, "max_length must be an integer.*got True"),
        (
            {"vocabulary": "abc"},
            ArgumentTypeError,
            "such as a CharacterVocabulary, or None, got str",
        ),
        ({"vocabulary": str.split}, ArgumentTypeError, "a text pipeline with a size"),
        ({"vocabulary": ByteVocabulary}, ArgumentTypeError, "got type; build one"),
        ({"min_names": 10**6}, DataError, "no language"),
        ({"max_length": 1}, DataError, "no language"),
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
def test_any_pipeline_is_a_vocabulary(make):
    vocabulary = make()
    dataset = Languages(mode="test", vocabulary=vocabulary)
    assert dataset.vocabulary is vocabulary
    assert dataset.sequences.shape[1] == 32
    for sequence, text in zip(dataset.sequences.tolist(), dataset.names, strict=True):
        ids = list(vocabulary(text))[: len(sequence)]
        assert sequence == ids + [0] * (len(sequence) - len(ids))
    tasksets = get_tasksets("languages", vocabulary=vocabulary)
    assert tasksets.vocab_size == len(vocabulary)
