import itertools
import json
import os
import subprocess
import sys
import unicodedata

import pytest
import torch

from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    MissingExtraError,
    UnknownNameError,
)
from l2l_rnn.tasksets import Translation, get_tasksets, list_tasksets
from l2l_rnn.tasksets.text import translation_pairs, translation_splits
from l2l_rnn.tasksets.text.language_families import FAMILY_OF, SPLIT_OF


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def numbers(root):
    return {split: Translation(root, split) for split in SPLITS}


@pytest.fixture(scope="module")
def names(root):
    return {split: Translation(root, split, pairs="names") for split in SPLITS}


@pytest.fixture(params=["numbers", "names"])
def splits(request):
    return request.getfixturevalue(request.param)


def table(splits, code):
    """The pairs of one language, in any split."""
    for dataset in splits.values():
        if code in dataset.group_names:
            own = (dataset.groups == dataset.group_names.index(code)).nonzero().flatten().tolist()
            return dict(dataset.texts[item] for item in own)
    return {}


def plain(name):
    return "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if c.isalnum())


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        ("fi", 345, "kolmesataaneljäkymmentäviisi"),
        ("fi", 11, "yksitoista"),
        ("et", 17, "seitseteist"),
        ("hu", 21, "huszonegy"),
        ("id", 11, "sebelas"),
        ("ms", 100, "seratus"),
        ("tr", 99, "doksan dokuz"),
        ("vi", 15, "mười lăm"),
        ("de", 21, "einundzwanzig"),
        ("fr", 80, "quatre-vingts"),
        ("en", 342, "three hundred forty-two"),
        ("sv", 33, "trettiotre"),
        ("sw", 25, "ishirini na tano"),
        ("es", 500, "quinientos"),
    ],
)
def test_numbers_in_words(numbers, code, number, words):
    assert table(numbers, code)[str(number)] == words


@pytest.mark.parametrize(
    ("code", "english", "name"),
    [
        ("fi", "Germany", "Saksa"),
        ("et", "Finland", "Soome"),
        ("hu", "Italy", "Olaszország"),
        ("id", "Netherlands", "Belanda"),
        ("tr", "Egypt", "Mısır"),
        ("eu", "Spain", "Espainia"),
        ("de", "Austria", "Österreich"),
        ("cy", "Wales", None),
        ("fr", "France", None),
    ],
)
def test_local_names(names, code, english, name):
    assert table(names, code).get(english) == name


def test_splits_share_no_language_no_family_and_no_pair(splits):
    for a, b in itertools.combinations(splits.values(), 2):
        assert not set(a.group_names) & set(b.group_names)
        assert not set(a.families) & set(b.families)
        pairs = [{(source, plain(target)) for source, target in d.texts} for d in (a, b)]
        assert not pairs[0] & pairs[1]
    for split, dataset in splits.items():
        for code, family in zip(dataset.group_names, dataset.families, strict=True):
            assert SPLIT_OF[family] == split
            assert FAMILY_OF[code] == family


def test_near_duplicate_locales_are_one_language(splits):
    codes = {code for dataset in splits.values() for code in dataset.group_names}
    for group in ("no nb", "de de_CH", "fr fr_BE fr_CH ht", "pt pt_PT", "sr sr_Latn", "cgg nyn"):
        assert len(codes & set(group.split())) <= 1, group
    assert {"no", "de", "fr", "pt"} <= codes


def test_near_duplicate_numbers_are_merged(numbers):
    """Nynorsk has the numbers of Bokmål, except for one."""
    codes = {code for dataset in numbers.values() for code in dataset.group_names}
    assert len(codes & {"no", "nn"}) == 1
    made = translation_pairs.number_pairs("latin", 30, 40, 30).pairs
    assert made.keys() & {"no", "nn", "nb"} == {"no"}


def test_every_language_has_enough_pairs_and_no_input_twice(splits):
    for dataset in splits.values():
        counts = torch.bincount(dataset.groups, minlength=len(dataset.group_names))
        assert counts.min() >= 300
        keys = list(zip(dataset.groups.tolist(), (s for s, _ in dataset.texts), strict=True))
        assert len(keys) == len(set(keys))
        assert max(len(target) for _, target in dataset.texts) <= 40


def test_texts_are_clean(splits, numbers):
    for dataset in splits.values():
        for source, target in dataset.texts:
            assert target == unicodedata.normalize("NFC", target).strip()
            assert "\xad" not in target
            assert "\u200b" not in target
            kinds = {unicodedata.name(c).split()[0] for c in target if c.isalpha()}
            assert kinds <= {"LATIN", "MODIFIER"}
            if splits is numbers:
                assert source.isdecimal()
                assert not any(map(str.isdigit, target))
            else:
                assert plain(source) != plain(target)


def test_targets_end_with_end_and_are_padded(splits):
    for dataset in splits.values():
        assert dataset.targets.shape == (len(dataset), 41)
        assert ((dataset.targets == Translation.END).sum(1) == 1).all()
        after = (dataset.targets == Translation.END).long().cumsum(1).roll(1, 1)
        after[:, 0] = 0
        assert ((dataset.targets == 0) == (after == 1)).all()


def test_decode_inverts_the_encoding(splits):
    dataset = splits["train"]
    rows = torch.arange(0, len(dataset), 97)
    assert dataset.decode(dataset.targets[rows]) == [dataset.texts[i][1] for i in rows.tolist()]
    assert [dataset.vocabulary.decode(row) for row in dataset.inputs[rows].tolist()] == [
        dataset.texts[i][0] for i in rows.tolist()
    ]
    assert dataset.decode(torch.tensor([[3, 2, 3, 0], [2, 0, 0, 0], [3, 3, 3, 3]])) == [
        dataset.target_vocabulary.characters[1],
        "",
        dataset.target_vocabulary.characters[1] * 4,
    ]


def test_vocabularies_are_built_from_train_only(splits):
    train = splits["train"]
    sources, targets = ({c for pair in train.texts for c in pair[i]} for i in (0, 1))
    for dataset in splits.values():
        assert set(dataset.vocabulary.characters) == sources
        assert set(dataset.target_vocabulary.characters) == targets | {"\x03"}
    assert not (train.inputs == 1).any()
    assert not (train.targets == 1).any()


def test_letters_missing_from_train_are_unknown(numbers):
    validation = numbers["validation"]
    item = validation.texts.index(("6", "altı"))
    assert validation.decode(validation.targets[item : item + 1]) == ["alt\ufffd"]
    for dataset in numbers.values():
        for group in range(len(dataset.group_names)):
            ids = dataset.targets[dataset.groups == group]
            assert (ids == 1).sum() <= 0.2 * (ids > 2).sum()


def test_tasks_have_one_language_and_distinct_inputs(numbers):
    test = numbers["test"]
    batch = test.draw(20, 10, 30, torch.Generator().manual_seed(0))
    assert batch.support_x.shape == (20, 10, 3)
    assert batch.query_y.shape == (20, 30, 41)
    tables = {code: table(numbers, code) for code in test.group_names}
    for x, y in zip(
        torch.cat([batch.support_x, batch.query_x], 1),
        torch.cat([batch.support_y, batch.query_y], 1),
        strict=True,
    ):
        assert len(x.unique(dim=0)) == 40
        digits = [test.vocabulary.decode(row) for row in x.tolist()]
        words = test.decode(y)
        matches = [
            all(
                len(targets.get(d, "")) == len(w)
                and all(a == b or b == "\ufffd" for a, b in zip(targets[d], w, strict=True))
                for d, w in zip(digits, words, strict=True)
            )
            for targets in tables.values()
        ]
        assert any(matches)


def test_pairs_are_cached(numbers, names, root, monkeypatch):
    assert len(list(root.rglob("translation-n*.npz"))) >= 2
    for build in ("number_pairs", "name_pairs"):
        monkeypatch.setattr(translation_splits, build, None)  # pairs cannot be made again
    translation_splits.split_pairs.cache_clear()
    assert Translation(root, "test").texts == numbers["test"].texts
    assert torch.equal(Translation(root, "test").targets, numbers["test"].targets)
    assert Translation(root, "test", pairs="names").texts == names["test"].texts


@pytest.mark.slow
def test_hash_randomization_changes_nothing(numbers, names, tmp_path):
    code = (
        "import json, sys; from l2l_rnn.tasksets import Translation as T; root = sys.argv[1];"
        "print(json.dumps([T(root, 'test', pairs=p).texts for p in ('numbers', 'names')]))"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        stdout=subprocess.PIPE,
        check=True,
    )
    expected = [numbers["test"].texts, names["test"].texts]
    assert json.loads(run.stdout) == [[list(pair) for pair in texts] for texts in expected]


def test_held_out_languages_are_the_test_split(numbers, root):
    options = {"held_out": ("sw", "tr")}
    assert Translation(root, "test", **options).group_names == ("sw", "tr")
    train = Translation(root, "train", **options)
    assert set(train.families) == {"Indo-European", "Constructed"}
    assert Translation(root, "validation", **options).group_names == ("qu",)


@pytest.mark.parametrize("pairs", ["numbers", "names"])
def test_a_held_out_language_represents_its_near_duplicates(root, pairs):
    options = {"pairs": pairs, "largest": 99, "min_pairs": 90, "held_out": ("nn",)}
    assert Translation(root, "test", **options).group_names == ("nn",)
    assert not {"no", "nb"} & set(Translation(root, "train", **options).group_names)


def test_get_tasksets(root):
    tasksets = get_tasksets("translation", train_samples=30, root=root, largest=99, min_pairs=90)
    x, y = tasksets.train.sample()
    assert x.shape == (30, 2)
    assert y.shape == (30, 41)
    assert tasksets.vocab_size == len(tasksets.train.source.vocabulary) == 12


def test_custom_vocabularies(root, numbers):
    given = CharacterVocabulary(["0123456789"]), numbers["test"].target_vocabulary
    dataset = Translation(root, "test", vocabulary=given[0], target_vocabulary=given[1])
    assert (dataset.vocabulary, dataset.target_vocabulary) == given
    assert int(dataset.inputs.max()) == 11


def test_the_card(numbers):
    card = list_tasksets()["translation"]
    assert card.classes == tuple(len(numbers[split].group_names) for split in SPLITS)
    assert card.items == tuple(len(numbers[split]) for split in SPLITS)
    lengths = torch.cat([(numbers[split].inputs != 0).sum(1) for split in SPLITS])
    assert card.lengths == (lengths.min(), lengths.max())
    similarity, exact = nearest(numbers["test"], tasks=60)
    assert similarity == pytest.approx(card.baseline[1], abs=0.03)
    assert exact == card.chance == 0


def nearest(dataset, tasks):
    """Similarity of the target of the nearest of 5 support inputs, and how often it is correct."""
    batch = dataset.draw(tasks, 5, 10, torch.Generator().manual_seed(0))
    similarities, right = [], 0
    for sx, sy, qx, qy in zip(
        batch.support_x, batch.support_y, batch.query_x, batch.query_y, strict=True
    ):
        inputs = [dataset.vocabulary.decode(row) for row in sx.tolist()]
        targets = dataset.decode(sy)
        queries = [dataset.vocabulary.decode(row) for row in qx.tolist()]
        for query, target in zip(queries, dataset.decode(qy), strict=True):
            predicted = targets[min(range(5), key=lambda k: edits(query, inputs[k]))]
            distance = edits(predicted, target) / max(len(predicted), len(target))
            similarities.append(1 - distance)
            right += predicted == target
    return sum(similarities) / len(similarities), right


def edits(a, b):
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "val"}, UnknownNameError, "unknown split 'val'. Known: train, validation, test"),
        ({"pairs": "number"}, UnknownNameError, "unknown pairs 'number'; did you mean 'numbers'"),
        ({"scripts": None}, UnknownNameError, "unknown scripts None. Known: latin, all"),
        ({"held_out": "fi"}, ArgumentTypeError, r"pass \('fi',\)"),
        ({"held_out": ()}, ArgumentError, "at least one language, got none"),
        ({"held_out": ("Finnish",)}, UnknownNameError, "unknown language 'Finnish'.*mean 'fi'"),
        ({"held_out": ("ru",)}, DataError, "'ru' must have numbers in words .*'latin', got none"),
        ({"held_out": ("kl",)}, DataError, "'kl' must have min_pairs=300 pairs, got "),
        ({"held_out": ("no", "nn")}, DataError, "near-duplicates, got 'nn' and 'no'; keep"),
        (
            {"held_out": ("fi",), "target_vocabulary": CharacterVocabulary(["\x03", "aeiou"])},
            DataError,
            r"'fi' must have four fifths of its characters in the vocabulary, got a share of 0\.",
        ),
        ({"largest": 0}, ArgumentError, "largest must be a positive integer, got 0"),
        ({"largest": 9, "min_pairs": 11}, DataError, "a language in the train split"),
        ({"min_pairs": True}, ArgumentError, "min_pairs must be a positive integer, got True"),
        ({"max_length": "40"}, ArgumentError, "max_length must be a positive integer, got '40'"),
        ({"vocabulary": "abc"}, ArgumentTypeError, "CharacterVocabulary or None, got str"),
        ({"target_vocabulary": {}}, ArgumentTypeError, "target_vocabulary must be .*, got dict"),
        (
            {"target_vocabulary": CharacterVocabulary(["abc"])},
            ArgumentError,
            r"target_vocabulary must map '\\x03'.* to the id 2, got 1",
        ),
    ],
)
def test_bad_input(root, options, error, message):
    with pytest.raises(error, match=message) as caught:
        Translation(root, **options)
    assert str(caught.value).startswith("Translation: ")
    assert "\n" not in str(caught.value)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "unicode_rbnf", None)
    with pytest.raises(MissingExtraError, match=r"task set 'translation'.*pip install"):
        translation_pairs.number_pairs("latin", 9, 40, 1)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", ["numbers", "names"])
def test_all_scripts(root, pairs):
    """Languages in other scripts are kept only if train has the script."""
    splits = {s: Translation(root, s, pairs=pairs, scripts="all") for s in SPLITS}
    assert {"ru", "hi", "el"} <= set(splits["train"].group_names)
    kinds = {
        split: {unicodedata.name(c).split()[0] for _, t in d.texts for c in t if c.isalpha()}
        for split, d in splits.items()
    }
    assert {"CYRILLIC", "GREEK", "DEVANAGARI", "LATIN"} <= kinds["train"]
    assert kinds["test"] <= kinds["train"]
    assert kinds["validation"] <= kinds["train"]
