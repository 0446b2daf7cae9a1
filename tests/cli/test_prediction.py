"""`l2l-rnn predict`."""

import csv
import io
import json

import numpy as np
import pytest

from l2l_rnn.cli import main
from l2l_rnn.estimators import FewShotClassifier

SUPPORT = [("abab", "one"), ("baba", "one"), ("uvuv", "two"), ("vuvu", "two"), ("kmkm", "three")]
QUERY = ["abba", "uvvu", "mkkm"]


@pytest.fixture
def files(tmp_path):
    """A support and a query file, in csv."""
    lines = "".join(f"{text},{label}\n" for text, label in SUPPORT)
    (tmp_path / "support.csv").write_text(f"text,label\n{lines}")
    (tmp_path / "query.csv").write_text("id,text\n" + "".join(f"7,{text}\n" for text in QUERY))
    return tmp_path


def predict(model, files, *flags, support="support.csv", query="query.csv"):
    named = ["--support", str(files / support), "--query", str(files / query)]
    return main(["predict", str(model), *named, *map(str, flags)])


@pytest.fixture
def classifier(model):
    texts, labels = zip(*SUPPORT, strict=True)
    return FewShotClassifier.from_pretrained(model).fit(list(texts), list(labels))


def test_json_is_what_the_classifier_says(model, files, classifier, capsys):
    assert predict(model, files, "--json", "--explain", 2) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["one", "three", "two"]
    chances = [list(row["probabilities"].values()) for row in found["rows"]]
    np.testing.assert_allclose(chances, classifier.predict_proba(QUERY), rtol=1e-6)
    unknown = [row["unknown_score"] for row in found["rows"]]
    np.testing.assert_allclose(unknown, classifier.unknown_score(QUERY))
    for row, examples in zip(found["rows"], classifier.explain(QUERY, 2), strict=True):
        assert (
            row["predicted"] == found["classes"][int(np.argmax([*row["probabilities"].values()]))]
        )
        assert [one["row"] for one in row["explanation"]] == [one.number for one in examples]
        assert [one["text"] for one in row["explanation"]] == [one.example for one in examples]


def test_csv_goes_to_stdout_and_logs_to_stderr(model, files, capsys):
    assert predict(model, files) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [row["text"] for row in rows] == QUERY
    assert all(row["predicted"] in ("one", "two", "three") for row in rows)
    total = sum(float(rows[0][f"p({name})"]) for name in ("one", "two", "three"))
    assert total == pytest.approx(1, abs=1e-3)
    assert captured.err == "importing torch\n"


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_file_of_predictions(suffix, model, files, capsys):
    assert predict(model, files, "--explain", 1, "--out", files / f"out{suffix}") == 0
    assert capsys.readouterr().out == ""
    text = (files / f"out{suffix}").read_text()
    rows = (
        json.loads(text)["rows"] if suffix == ".json" else list(csv.DictReader(io.StringIO(text)))
    )
    assert [row["text"] for row in rows] == QUERY
    assert suffix == ".json" or rows[0]["because_1_label"] in ("one", "two", "three")


def test_jsonl_with_other_columns(model, files, capsys):
    rows = [{"a": text[:2], "b": text[2:], "kind": label} for text, label in SUPPORT]
    (files / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--text", "a", "b", "--label", "kind", "--json"]
    assert predict(model, files, *flags, support="s.jsonl", query="s.jsonl") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["rows"][0]["text"] == "ab ab"
    right = sum(r["predicted"] == row["kind"] for r, row in zip(found["rows"], rows, strict=True))
    assert found["accuracy"] == right / len(rows)
    assert f"accuracy {right / len(rows):.3f} on 5 rows" in captured.err


def test_parquet(model, files, capsys):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(SUPPORT, columns=["text", "label"]).to_parquet(files / "s.parquet")
    assert predict(model, files, "--json", support="s.parquet") == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 3


def test_another_number_of_adaptation_steps(maml, files, capsys):
    two = "text,label\nabab,1\nuvuv,2\n"
    (files / "two.csv").write_text(two)
    outputs = []
    for steps in ((), ("--adaptation-steps", "20")):
        assert predict(maml, files, *steps, support="two.csv") == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] != outputs[1]


def test_integers_as_labels(model, files, capsys):
    rows = [{"text": text, "label": len(label)} for text, label in SUPPORT]
    (files / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert predict(model, files, "--json", support="s.jsonl") == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["3", "5"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "txt,label\na,b\n",
            "unknown column 'text' in SUPPORT; did you mean 'txt'? Known: txt, label",
        ),
        ("text,lable\na,b\n", "unknown column 'label' in SUPPORT; did you mean 'lable'"),
        (
            "text,label\na,b\nc,b\n",
            "at least two classes in the column 'label', got 2 of 'b' alone",
        ),
        ("text,label\na,b\n ,c\n", "row 1 of SUPPORT must have a value in the column 'text'"),
        ("text,label\na,b\nc,\n", "row 1 of SUPPORT must have a value in the column 'label'"),
    ],
)
def test_a_support_file_that_does_not_fit(content, said, model, files, capsys):
    (files / "bad.csv").write_text(content)
    assert predict(model, files, support="bad.csv") == 1
    captured = capsys.readouterr()
    assert said.replace("SUPPORT", str(files / "bad.csv")) in captured.err
    assert captured.out == ""


def test_an_empty_text_in_the_query_is_named_by_row(model, files, capsys):
    (files / "bad.csv").write_text('text\nab\n""\n')
    assert predict(model, files, query="bad.csv") == 1
    assert "row 1 of" in capsys.readouterr().err


def test_more_classes_than_a_head_has(maml, files, capsys):
    assert predict(maml, files) == 1
    assert "3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "2 problems:\n  --support is missing: name the file\n  --query is missing"),
        (["--support", "a", "--query", "b", "--out", "x.txt"], "--out must end in .csv or .json"),
        (["--support", "a", "--query", "b", "--out", "x.csv", "--json"], "contradict each other"),
        (["--support", "a", "--query", "b", "--explain", "-1"], "--explain must be a positive"),
        (["--support"], "--support needs a value"),
    ],
)
def test_wrong_usage(flags, said, capsys):
    assert main(["predict", "model", *flags]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def series_model(tmp_path_factory, tiny):
    out = tmp_path_factory.mktemp("series") / "model"
    flags = list(tiny)
    del flags[flags.index("--embedding-size") : flags.index("--embedding-size") + 2]
    flags[flags.index("--queries") + 1] = "2"
    assert main(["fit", "--taskset", "activity", *flags, "--out", str(out)]) == 0
    return out


def test_series_in_json(series_model, files, capsys):
    steps = np.random.default_rng(0).normal(size=(6, 6, 20)).round(3).tolist()
    rows = [{"series": one, "label": f"class {i % 2}"} for i, one in enumerate(steps)]
    (files / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--text", "series", "--json"]
    assert predict(series_model, files, *flags, support="s.jsonl", query="s.jsonl") == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 6


def test_texts_for_a_model_of_series(series_model, files, capsys):
    assert predict(series_model, files) == 1
    assert "must hold a series such as [0.1, 0.2]" in capsys.readouterr().err
