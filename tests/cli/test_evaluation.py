"""`l2l-rnn evaluate`."""

import json

import pytest

from l2l_rnn.cli import main
from l2l_rnn.tasksets import from_hf, get_tasksets, tasksets_of
from l2l_rnn.training import Pretrained, evaluate

COLUMNS = ["--text", "text", "--label", "label"]
SMALL = ["--ways", "2", "--queries", "3", "--tasks", "8"]


def evaluated(*flags, capsys):
    assert main(["evaluate", *map(str, flags), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_task_set_gets_the_vocabulary_of_the_model(model, capsys):
    (found,) = evaluated(model, "--taskset", "intents", *SMALL, "--shots", 2, capsys=capsys)
    loaded = Pretrained.from_pretrained(model)
    tasksets = get_tasksets(
        "intents", test_ways=2, test_samples=5, vocabulary=loaded.inputs.pipeline
    )
    expected = evaluate(loaded.learner, tasksets.test, 2, 8, queries=3)
    assert found["models"][0]["per_task"]["accuracy"] == list(expected.per_task["accuracy"])


def test_several_shots_and_scores(model, capsys):
    flags = ["--taskset", "languages", *SMALL, "--shots", "1,4", "--scores", "accuracy", "f1"]
    rows = evaluated(model, *flags, capsys=capsys)
    assert [row["shots"] for row in rows] == [1, 4]
    assert list(rows[0]["models"][0]["scores"]) == ["accuracy", "f1"]
    assert main(["evaluate", str(model), *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "shots", "tasks", "accuracy", "f1", "ms", "per", "task"]
    assert len(lines) == 3


def test_a_comparison_is_paired(model, maml, capsys):
    flags = ["--taskset", "languages", *SMALL, "--compare", maml]
    (row,) = evaluated(model, *flags, capsys=capsys)
    one, other = (one["per_task"]["accuracy"] for one in row["models"])
    mean = sum(a - b for a, b in zip(one, other, strict=True)) / 8
    assert row["difference"]["mean"] == pytest.approx(mean)
    assert main(["evaluate", str(model), *map(str, flags)]) == 0
    assert f"{model} minus {maml}, 5 shots: accuracy" in capsys.readouterr().out


def test_a_model_compared_with_itself_differs_by_nothing(model, capsys):
    flags = ["--taskset", "languages", *SMALL, "--compare", model]
    (row,) = evaluated(model, *flags, capsys=capsys)
    assert row["difference"]["mean"] == 0


def test_all_texts_of_a_file(model, posts, capsys):
    flags = ["--data", posts, *COLUMNS, *SMALL, "--ways", "10"]
    (found,) = evaluated(model, *flags, "--shots", 2, capsys=capsys)
    assert found["models"][0]["settings"]["ways"] == 10


def test_the_test_split_of_a_file_is_that_of_fit(model, posts, capsys):
    flags = ["--data", posts, *COLUMNS, *SMALL, "--shots", "2", "--split", "test"]
    (found,) = evaluated(model, *flags, capsys=capsys)
    loaded = Pretrained.from_pretrained(model)
    sources = from_hf(str(posts), "text", "label", loaded.inputs.pipeline)
    assert set(loaded.classes) == set(sources.train.classes)
    tasksets = tasksets_of(sources, 2, 5, 2, 5)
    expected = evaluate(loaded.learner, tasksets.test, 2, 8, queries=3)
    assert found["models"][0]["per_task"]["accuracy"] == list(expected.per_task["accuracy"])


@pytest.fixture(scope="module")
def shared_posts(posts, tmp_path_factory):
    """The posts, with texts of two classes, repeats, an empty text and a small class."""
    lines = posts.read_text().splitlines()
    rows = [row.split(",") for row in lines[1:]]
    twice = [f"{rows[i][0].upper()},class 9,0" for i in (0, 12, 24)]
    more = [*twice, lines[1], lines[20], lines[20].upper().replace("CLASS", "class")]
    path = tmp_path_factory.mktemp("shared") / "shared.csv"
    path.write_text("\n".join([*lines, *more, ",class 3,0", "zz zz,small,0", ""]))
    return path


@pytest.fixture(scope="module")
def other_seed(shared_posts, tmp_path_factory, tiny):
    """A model with other classes in its test split than those of the seed 0."""
    out = tmp_path_factory.mktemp("models") / "seed1"
    flags = ["--data", str(shared_posts), *COLUMNS, "--drop_small", "--drop_empty", "--seed", "1"]
    assert main(["fit", *flags, "--max_length", "20", *tiny, "--out", str(out)]) == 0
    return out


def test_a_split_has_the_classes_that_fit_saved(other_seed, shared_posts, capsys):
    loaded = Pretrained.from_pretrained(other_seed)
    saved = loaded.settings["split_classes"]
    options = {"drop_small": True, "drop_empty": True, "min_items": 5}
    sources = from_hf(str(shared_posts), "text", "label", loaded.inputs.pipeline, seed=1, **options)
    default = from_hf(str(shared_posts), "text", "label", loaded.inputs.pipeline, **options)
    assert saved["test"] == list(sources.test.classes)
    assert set(default.test.classes) & set(loaded.classes)  # what the seed 0 would have scored
    flags = [other_seed, "--data", shared_posts, *COLUMNS, *SMALL, "--drop_small", "--drop_empty"]
    (found,) = evaluated(*flags, "--shots", 2, "--split", "test", capsys=capsys)
    expected = evaluate(loaded.learner, tasksets_of(sources, 2, 5, 2, 5).test, 2, 8, queries=3)
    assert found["models"][0]["per_task"]["accuracy"] == list(expected.per_task["accuracy"])
    assert found["models"][0]["settings"]["taskset"] == "shared.csv"


def test_a_split_of_groups_is_that_of_fit(posts, tmp_path, tiny, capsys):
    lines = posts.read_text().splitlines()
    own = [
        line[: line.rindex(",")] + f",{line.split(',')[1]} {i % 4}" for i, line in enumerate(lines)
    ]
    (tmp_path / "own.csv").write_text("\n".join([lines[0], *own[1:], ""]))
    flags = ["--data", str(tmp_path / "own.csv"), *COLUMNS, "--groups", "author"]
    out = tmp_path / "model"
    assert main(["fit", *flags, *tiny, "--seed", "2", "--out", str(out)]) == 0
    capsys.readouterr()
    flags = [out, *flags, *SMALL, "--shots", 2, "--split", "test"]
    (found,) = evaluated(*flags, capsys=capsys)
    loaded = Pretrained.from_pretrained(out)
    pipeline = loaded.inputs.pipeline
    options = {"seed": 2, "groups": "author", "min_items": 5}
    sources = from_hf(str(tmp_path / "own.csv"), "text", "label", pipeline, **options)
    assert loaded.settings["split_classes"]["test"] == list(sources.test.classes)
    expected = evaluate(loaded.learner, tasksets_of(sources, 2, 5, 2, 5).test, 2, 8, queries=3)
    assert found["models"][0]["per_task"]["accuracy"] == list(expected.per_task["accuracy"])


def test_without_saved_splits_trained_classes_are_refused(
    other_seed, shared_posts, tmp_path, capsys
):
    loaded = Pretrained.from_pretrained(other_seed)
    del loaded.settings["split_classes"]
    loaded.save_pretrained(tmp_path / "old")
    flags = ["--data", str(shared_posts), *COLUMNS, *SMALL, "--drop_small", "--drop_empty"]
    flags = ["evaluate", str(tmp_path / "old"), *flags, "--shots", "2", "--split", "test"]
    assert main(flags) == 1
    assert "must have classes that were not in the training" in capsys.readouterr().err
    assert main([*flags, "--seed", "1"]) == 0


def test_dropped_rows_are_counted(other_seed, shared_posts, capsys):
    result = json.loads((other_seed / "result.json").read_text())["rows"]
    expected = {**result, "rows": 128, "ambiguous": 7, "repeats": 2, "empty": 1, "small": 1}
    assert result == {**expected, "used": 117}
    line = "128 rows: 117 used; dropped 7 that occur in two classes, 2 repeats, 1 empty, 1 in small"
    assert line in (other_seed / "README.md").read_text()
    flags = ["--data", shared_posts, *COLUMNS, *SMALL, "--drop_small", "--drop_empty"]
    assert main(["evaluate", str(other_seed), *map(str, flags), "--shots", "2", "--json"]) == 0
    captured = capsys.readouterr()
    assert line in captured.err
    assert "were in the training of" in captured.err
    (found,) = json.loads(captured.out)
    assert found["models"][0]["settings"]["rows"] == result


def test_the_saved_model_reads_as_many_tokens_as_max_length(model, other_seed):
    lengths = [Pretrained.from_pretrained(one).inputs.max_length for one in (model, other_seed)]
    assert lengths == [64, 20]


def test_the_card_names_the_file_and_its_test_classes(other_seed):
    card = (other_seed / "README.md").read_text()
    assert "name: shared.csv (2 ways, 2 shots)" in card
    assert "Texts(" not in card
    classes = Pretrained.from_pretrained(other_seed).settings["split_classes"]["test"]
    assert f"Classes of the test tasks: {', '.join(classes)}." in card


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "zero.csv must have at least one row, got an empty file"),
        ("a b,one\nc d,one\n", "zero.csv must have at least 5 different texts"),
        (
            "\n".join(f"text {i},one" for i in range(9)),
            "zero.csv must have at least 2 classes with 5 texts each (--ways; --shots plus "
            "--queries) in the column --label label, got 1: one",
        ),
    ],
)
def test_files_that_are_too_small(rows, said, model, tmp_path, capsys):
    (tmp_path / "zero.csv").write_text(rows and "text,label\n" + rows)
    flags = ["--data", str(tmp_path / "zero.csv"), *COLUMNS, *SMALL, "--shots", "2"]
    assert main(["evaluate", str(model), *flags]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said", "code"),
    [
        ([], "no tasks: set --taskset, or --data", 2),
        (["--taskset", "languages", "--split", "all"], "--split all is only for --data", 2),
        (["--taskset", "languages", "--shots", "1,0"], "positive integer, got [1, 0]", 2),
        (["--taskset", "langages"], "did you mean 'languages'", 2),
        (["--taskset", "activity", "--queries", "2"], "reads texts, and activity has series", 1),
        (["--taskset", "languages", "--scores", "acuracy"], "did you mean 'accuracy'", 2),
        (["--data", "POSTS", "--text", "txt", "--label", "label"], "Known: text, label, author", 1),
        (["--data", "POSTS", *COLUMNS, "--tokenizer", "words"], "the model has its own", 2),
    ],
)
def test_what_cannot_be_evaluated(flags, said, code, model, posts, capsys):
    flags = [str(posts) if flag == "POSTS" else flag for flag in flags]
    assert main(["evaluate", str(model), *flags]) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_an_unknown_model(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "absent"), "--taskset", "languages"]) in (1, 2)
    assert "absent" in capsys.readouterr().err
