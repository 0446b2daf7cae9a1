"""`l2l-rnn fit`: settings, training, resuming, and the saved model."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from l2l_rnn.cli import main
from l2l_rnn.cli.fitting import progress
from l2l_rnn.cli.fitting.learners import LEARNERS
from l2l_rnn.training import Pretrained

ROOT = Path(__file__).parents[2]
LANGUAGES = ["fit", "--taskset", "languages"]


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_folder_holds_a_model_with_a_card_and_an_evaluation(model):
    loaded = Pretrained.from_pretrained(model)
    assert loaded.settings["training_steps"] == 6
    assert len(loaded.classes) == 6  # of ten, by the shares of the splits
    assert loaded.evaluation[0]["settings"]["shots"] == 2
    card = (model / "README.md").read_text()
    assert "accuracy" in card
    assert "# protonet" in card
    assert ".model" not in card
    result = json.loads((model / "result.json").read_text())
    assert len(result["evaluation"]["per_task"]["accuracy"]) == 6
    history = json.loads((model / "history.json").read_text())["validations"]
    assert [row["step"] for row in history] == [3, 6]


def test_the_best_weights_are_saved(tmp_path, tiny, monkeypatch):
    kept = []

    def keep(self, trainer, module):
        if trainer.state.fn == "fit":
            score = float(trainer.callback_metrics["val_score"])
            kept.append((score, {k: v.clone() for k, v in module.learner.state_dict().items()}))
        before(self, trainer, module)

    before = progress.Progress.on_validation_end
    monkeypatch.setattr(progress.Progress, "on_validation_end", keep)
    assert (
        main([*LANGUAGES, *tiny, "--steps", "9", "--lr", "0.1", "--out", str(tmp_path / "a")]) == 0
    )
    best = max(kept, key=lambda pair: pair[0])[1]
    assert len(kept) == 3
    saved = Pretrained.from_pretrained(tmp_path / "a").learner.state_dict()
    assert all(torch.equal(saved[name], value) for name, value in best.items())


def test_steps_after_the_last_whole_epoch_are_validated(tmp_path, tiny, capsys):
    assert main([*LANGUAGES, *tiny, "--steps", "5", "--out", str(tmp_path / "a")]) == 0
    assert "step 5: validation accuracy" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("learner", [*LEARNERS])
def test_every_learner_trains(learner, posts, tmp_path, tiny):
    columns = ["--data", str(posts), "--text", "text", "--label", "label"]
    out = tmp_path / "model"
    assert main(["fit", *columns, *tiny, "--learner", learner, "--out", str(out)]) == 0
    assert type(Pretrained.from_pretrained(out).learner).__name__ == LEARNERS[learner].cls


@pytest.mark.parametrize(
    ("taskset", "learner", "score"),
    [
        ("adding", "memory", "error"),
        ("adding", "maml", "error"),
        ("activity", "protonet", "accuracy"),
    ],
)
def test_task_sets_of_series_and_of_values(taskset, learner, score, tmp_path, tiny, capsys):
    flags = [*tiny, "--learner", learner, "--json"]
    assert main(["fit", "--taskset", taskset, *flags, "--out", str(tmp_path / "a")]) == 2
    assert "--embedding_size is only for texts" in capsys.readouterr().err
    del flags[flags.index("--embedding-size") : flags.index("--embedding-size") + 2]
    assert main(["fit", "--taskset", taskset, *flags, "--out", str(tmp_path / "a")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert score in result["evaluation"]["scores"]


def test_an_empty_file(tmp_path, capsys):
    (tmp_path / "zero.csv").touch()
    flags = ["--data", str(tmp_path / "zero.csv"), "--text", "text", "--label", "label"]
    assert main(["fit", *flags, "--out", str(tmp_path / "a")]) == 1
    assert "zero.csv must have columns and rows, got none; it is empty" in capsys.readouterr().err


def test_options_reach_the_learner(tmp_path, tiny):
    options = ["--learner_options.momentum", "0.5", "--first-order", "--inner-lr", "0.3"]
    out = tmp_path / "a"
    flags = [
        "--learner",
        "maml",
        *options,
        "--cell",
        "gru",
        "--pooling",
        "mean",
        "--dropout",
        "0.1",
    ]
    assert main([*LANGUAGES, *tiny, *flags, "--num-layers", "2", "--out", str(out)]) == 0
    learner = Pretrained.from_pretrained(out).learner
    assert (learner.momentum, learner.first_order, learner.lr) == (0.5, True, 0.3)
    assert type(learner.module.encoder.recurrence).__name__ == "GRU"


def test_yaml_and_flags(tmp_path, tiny, capsys):
    assert main([*LANGUAGES, *tiny, "--lr", "0.5", "--print_config"]) == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert (settings["lr"], settings["steps"], settings["taskset"]) == (0.5, 6, "languages")
    settings["out"] = str(tmp_path / "a")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["fit", "--config", str(tmp_path / "run.yaml"), "--lr", "0.01"]) == 0
    saved = json.loads((tmp_path / "a" / "settings.json").read_text())["settings"]
    assert saved["lr"] == 0.01  # flags override
    assert saved["hidden_size"] == 6


def test_unknown_keys_and_missing_files_of_yaml(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("taskset: languages\nhiden_size: 3\n")
    assert main(["fit", "--config", str(tmp_path / "run.yaml"), "--out", "x"]) == 2
    assert "did you mean 'hidden_size'" in capsys.readouterr().err
    assert main(["fit", "--config", str(tmp_path / "absent.yaml"), "--out", "x"]) == 2
    assert "absent.yaml" in capsys.readouterr().err


def test_all_contradictions_are_named(capsys):
    flags = [
        *("--data", "a.csv", "--learner", "protonet", "--inner-lr", "0.1", "--memory", "hebbian"),
        *("--cell", "lstn", "--shots", "0", "--lr", "-1", "--splits", "1", "2"),
    ]
    assert main([*LANGUAGES, *flags]) == 2
    said = capsys.readouterr().err
    for part in (
        "10 problems",
        "--out is missing",
        "--taskset and --data contradict each other",
        "--data needs --text",
        "--data needs --label",
        "--splits must be three shares, got 2",
        "--memory is only for the learner memory",
        "--inner_lr is only for learners with gradient steps",
        "unknown --cell 'lstn'; did you mean 'lstm'?",
        "--shots must be a positive integer, got 0",
        "--lr must be a positive number, got -1.0",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("flags", "said", "code"),
    [
        (["--taskset", "copy", "--learner", "maml"], "target for each step", 2),
        (["--taskset", "ratings", "--learner", "maml"], "train a models.Recommender", 2),
        (["--taskset", "sinusoids", "--learner", "maml"], "have no steps", 2),
        (["--taskset", "adding"], "protonet has classes; use memory, maml", 2),
        (["--taskset", "languages", "--ways", "99"], "--ways=99", 1),
        (["--taskset", "languages", "--device", "cuda:77"], "--device must be a device", 1),
        (["--taskset", "languages", "--lr", "much"], "--lr must be a number, got 'much'", 2),
        (["--taskset", "languages", "--tokenizer", "x"], "one of characters, words, bytes", 2),
        (
            ["--taskset", "languages", "--learner", "maml", "--learner_options.momentm", "1"],
            "unknown --learner_options.momentm; did you mean 'momentum'?",
            2,
        ),
        (
            ["--taskset", "languages", "--taskset_options.script", "all"],
            "did you mean 'scripts'",
            2,
        ),
    ],
)
def test_what_cannot_train(flags, said, code, tmp_path, capsys):
    out = tmp_path / "deep" / "model"
    assert main(["fit", *flags, "--out", str(out)]) == code
    assert said in capsys.readouterr().err
    assert not out.exists()  # so that the corrected command can use it


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--text", "txt", "--label", "label"], "unknown column 'txt'"),
        (["--text", "text", "--label", "lable"], "did you mean 'label'"),
        (["--text", "text", "--label", "label", "--shots", "20"], "--drop_small"),
    ],
)
def test_data_that_does_not_fit(flags, said, posts, tmp_path, capsys):
    assert main(["fit", "--data", str(posts), *flags, "--out", str(tmp_path / "a")]) == 1
    assert said in capsys.readouterr().err


def test_data_in_jsonl_with_groups_and_words(posts, tmp_path, tiny):
    flags = ["--text", "text", "label", "--label", "label", "--tokenizer", "words"]
    data = str(posts.with_suffix(".jsonl"))
    assert main(["fit", "--data", data, *flags, *tiny, "--out", str(tmp_path / "a")]) == 0


def test_a_folder_with_something_else_is_refused(tmp_path, tiny, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main([*LANGUAGES, *tiny, "--out", str(tmp_path)]) == 1
    assert "must be empty or new, got a folder with thesis.tex" in capsys.readouterr().err
    assert os.listdir(tmp_path).count("thesis.tex") == 1


def test_a_folder_with_a_run_asks_for_resume(model, tiny, capsys):
    assert main([*LANGUAGES, *tiny, "--out", str(model)]) == 1
    assert "--resume" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(tmp_path, tiny, capsys):
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"):
        assert main([*LANGUAGES, *tiny, "--out", str(tmp_path)]) == 1
    assert "in use" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path, tiny, capsys):
    (tmp_path / "file").write_text("")
    assert main([*LANGUAGES, *tiny, "--out", str(tmp_path / "file" / "out")]) == 1
    assert "cannot be written to" in capsys.readouterr().err


@pytest.fixture
def stopping(monkeypatch):
    """Send this process a signal after a training step."""

    def at(step, number):
        def end(self, trainer, *rest):
            if trainer.global_step == step and not sent:
                sent.append(number)
                signal.raise_signal(number)

        sent = []
        monkeypatch.setattr(progress.Progress, "on_train_batch_end", end)

    return at


@pytest.mark.parametrize(
    ("number", "code", "learner"),
    [(signal.SIGTERM, 143, "protonet"), (signal.SIGINT, 130, "memory")],
)
def test_a_stopped_run_resumes_to_the_weights_of_an_unbroken_one(
    number, code, learner, tmp_path, tiny, stopping, capsys
):
    flags = [*LANGUAGES, *tiny, "--steps", "12", "--dropout", "0.2", "--learner", learner]
    assert main([*flags, "--out", str(tmp_path / "whole")]) == 0
    stopping(5, number)
    assert main([*flags, "--out", str(tmp_path / "broken")]) == code
    assert "stopping after this step" in capsys.readouterr().err
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    assert main(["fit", "--resume", "--out", str(tmp_path / "broken")]) == 0
    assert "from the checkpoint last.ckpt" in capsys.readouterr().err
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    histories = [
        [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in json.loads((tmp_path / name / "history.json").read_text())["validations"]
        ]
        for name in ("whole", "broken")
    ]
    assert histories[0] == histories[1]


def test_resume_lists_all_differences(model, capsys):
    flags = ["--lr", "0.5", "--shots", "2", "--cell", "gru", "--learner", "maml"]
    assert main(["fit", "--resume", "--out", str(model), *flags]) == 1
    said = capsys.readouterr().err
    assert "learner: 'protonet', 'maml'" in said
    assert "cell: 'lstm', 'gru'" in said
    assert "lr: 0.003, 0.5" in said
    assert "shots" not in said


def test_a_finished_run_is_not_trained_again(model, capsys):
    before = weights(model)
    assert main(["fit", "--resume", "--out", str(model), "--json"]) == 0
    captured = capsys.readouterr()
    assert "finished" in captured.err
    assert json.loads(captured.out)["training_steps"] == 6
    assert same(before, weights(model))


def test_resume_without_a_run(tmp_path, capsys):
    assert main(["fit", "--resume", "--out", str(tmp_path / "a")]) == 1
    assert "needs a folder with a run" in capsys.readouterr().err
    assert main(["fit", "--resume"]) == 2
    assert "--out is missing" in capsys.readouterr().err


def test_settings_of_a_newer_version_are_refused(tmp_path, capsys):
    (tmp_path / "settings.json").write_text('{"format": 2, "settings": {}}')
    assert main(["fit", "--resume", "--out", str(tmp_path)]) == 1
    assert "format 1, got 2" in capsys.readouterr().err


@pytest.mark.slow
def test_kill_9_and_resume(tmp_path, tiny):
    flags = [*LANGUAGES, *tiny, "--steps", "4000", "--out", str(tmp_path / "a")]
    process = subprocess.Popen(
        [sys.executable, "-m", "l2l_rnn", *flags], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.startswith("step 6 "):
            break
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    steps = ["--minutes", "0.01"]
    assert main(["fit", "--resume", "--out", str(tmp_path / "a"), *steps]) == 0
    history = json.loads((tmp_path / "a" / "history.json").read_text())["validations"]
    assert [row["step"] for row in history][:3] == [3, 6, 9]


def test_a_time_limit_ends_the_training(tmp_path, tiny, capsys):
    flags = ["--steps", "100000", "--minutes", "0.005", "--json"]
    assert main([*LANGUAGES, *tiny, *flags, "--out", str(tmp_path / "a")]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["training_steps"] < 100_000


def test_patience_ends_the_training(tmp_path, tiny, capsys):
    flags = ["--steps", "3000", "--lr", "1e-9", "--patience", "2", "--json"]
    assert main([*LANGUAGES, *tiny, *flags, "--out", str(tmp_path / "a")]) == 0
    assert json.loads(capsys.readouterr().out)["training_steps"] == 9


@pytest.mark.slow
def test_output_is_clean(tmp_path, tiny):
    """The real command: JSON alone on stdout, no colors, no warnings of other packages."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "l2l_rnn",
            *LANGUAGES,
            *tiny,
            "--json",
            "--out",
            str(tmp_path / "a"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert json.loads(done.stdout)["folder"] == str(tmp_path / "a")
    lines = done.stderr.splitlines()
    starts = ("importing", "training protonet", "step ", "best validation", "evaluating on")
    assert [line for line in lines if not line.startswith(starts)] == []
    assert "\x1b" not in done.stderr
