"""A tiny model, trained once by the command itself."""

import csv
import json
import random

import pytest

from l2l_rnn.cli import main

TINY = [
    *("--steps", "6", "--validate-every", "3", "--tasks", "3", "--validation-tasks", "4"),
    *("--test-tasks", "6", "--hidden-size", "6", "--embedding-size", "6", "--ways", "2"),
    *("--shots", "2", "--queries", "3"),
]


@pytest.fixture(scope="session")
def tiny():
    """Flags of a training that takes half a second."""
    return TINY


@pytest.fixture(scope="session")
def posts(tmp_path_factory):
    """Files of labeled texts, by suffix: ten classes with words of their own letters."""
    folder = tmp_path_factory.mktemp("posts")
    draw = random.Random(0)
    rows = []
    for number in range(10):
        letters = [chr(ord("a") + 2 * number + i) for i in range(4)]
        for _ in range(12):
            text = "".join(draw.choice(letters) for _ in range(9))
            rows.append({"text": text, "label": f"class {number}", "author": draw.randrange(5)})
    with (folder / "posts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "posts.csv"


@pytest.fixture(scope="session")
def model(tmp_path_factory, posts):
    """A saved ProtoNet of texts."""
    out = tmp_path_factory.mktemp("models") / "protonet"
    columns = ["--text", "text", "--label", "label"]
    assert main(["fit", "--data", str(posts), *columns, "--out", str(out), *TINY]) == 0
    return out


@pytest.fixture(scope="session")
def maml(tmp_path_factory, posts):
    """A saved MAML of texts."""
    out = tmp_path_factory.mktemp("models") / "maml"
    columns = ["--text", "text", "--label", "label", "--learner", "maml", "--inner-steps", "2"]
    assert main(["fit", "--data", str(posts), *columns, "--out", str(out), *TINY]) == 0
    return out
