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
