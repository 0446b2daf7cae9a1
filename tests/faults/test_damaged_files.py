"""Files that are damaged, or made to run code, are never trusted, and errors say what they are."""

import os
import pickle
import random
import warnings

import pytest
import torch

from benchmarks.faults import problem
from benchmarks.faults.kill_and_resume import compare
from l2l_rnn.errors import CheckpointWarning, DataError, L2LRNNError
from l2l_rnn.training.checkpoints import SafeCheckpointIO
from l2l_rnn.training.checkpoints.container import write_checkpoint
from l2l_rnn.training.fitting import newest_checkpoint

STEPS = 12


def train(folder, steps=STEPS, **options):
    return problem.train(folder, steps, epoch=8, log=False, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an unbroken training."""
    folder = tmp_path_factory.mktemp("training") / "whole"
    train(folder)
    return folder


@pytest.fixture
def run(whole, tmp_path):
    """The folder of a finished training, with checkpoints of steps 12, 10 and 8."""
    for name in ("last", "previous", "best"):
        (tmp_path / f"{name}.ckpt").write_bytes((whole / f"{name}.ckpt").read_bytes())
    return tmp_path


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def damage(data, draw):
    """Return bytes with one of many kinds of damage."""
    kind = draw.choice(["cut", "cut", "flip", "flip", "zeros", "swap", "grow", "empty"])
    at = draw.randrange(len(data))
    if kind == "cut":
        return data[:at]
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
    if kind == "zeros":  # a block that was never written
        return data[:at] + bytes(len(data[at : at + 512])) + data[at + 512 :]
    if kind == "swap":
        return data[at:] + data[:at]
    return data + bytes(1 + at) if kind == "grow" else b""


def test_every_damage_is_noticed_and_the_previous_checkpoint_used(run):
    draw, data = random.Random(0), (run / "last.ckpt").read_bytes()
    for _ in range(100):
        damaged = damage(data, draw)
        if damaged == data:
            continue
        (run / "last.ckpt").write_bytes(damaged)
        with pytest.warns(
            CheckpointWarning, match=r"last\.ckpt is skipped and previous\.ckpt is used, because"
        ):
            assert newest_checkpoint(run) == run / "previous.ckpt"
        with pytest.raises(DataError, match=r"last\.ckpt must be"):
            SafeCheckpointIO().load_checkpoint(run / "last.ckpt")


@pytest.mark.parametrize("how", ["truncated", "pickle", "torch.save", "missing"])
def test_training_goes_on_from_the_previous_checkpoint(how, run, whole):
    path, bomb = run / "last.ckpt", Bomb(run / "exploded")
    if how == "truncated":
        os.truncate(path, 1000)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    elif how == "torch.save":
        torch.save({"state_dict": bomb}, path)
    else:
        path.unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(run)
    said = " ".join(str(warning.message) for warning in caught)
    assert ("previous.ckpt is used" in said) == (how != "missing")
    assert ("can run code" in said) == (how in ("pickle", "torch.save"))
    assert not (run / "exploded").exists()
    assert not any(compare(run, whole).values())


def test_nothing_is_used_if_all_are_damaged(run, whole):
    for name in ("last", "previous", "best"):
        os.truncate(run / f"{name}.ckpt", 500)
    with pytest.warns(CheckpointWarning, match="training starts from the beginning"):
        train(run)
    assert not any(compare(run, whole).values())
    assert {name for name in os.listdir(run) if name.startswith("damaged")} == {
        f"damaged-{name}.ckpt" for name in ("last", "previous", "best")
    }


def changed(content, draw):
    """Return JSON in which one value, at a random place, is another one."""
    others = [None, True, -1, 10**9, 1e300, "", "os.system", [], {}, [[]], {"$": "tuple"}]
    if isinstance(content, dict) and content and draw.random() < 0.95:
        key = draw.choice(list(content))
        return {**content, key: changed(content[key], draw)}
    if isinstance(content, list) and content and draw.random() < 0.9:
        at = draw.randrange(len(content))
        return [*content[:at], changed(content[at], draw), *content[at + 1 :]]
    return draw.choice(others)


@pytest.mark.parametrize("part", ["l2l_rnn", "TaskData", "callbacks.l2l_rnn.Checkpoints"])
def test_an_entry_with_other_content_is_refused_or_used(part, run, tmp_path):
    """Someone who can compute a checksum can write anything, but errors stay clear."""
    draw, refused = random.Random(1), []
    checkpoint = SafeCheckpointIO().load_checkpoint(run / "last.ckpt")
    tree, _, key = part.partition(".") if "." in part else ("", "", part)
    entries = checkpoint[tree] if tree else checkpoint
    for n in range(12):
        other = {**entries, key: changed(entries[key], draw)}
        folder = tmp_path / str(n)
        write_checkpoint(
            "me", folder / "last.ckpt", {**checkpoint, **({tree: other} if tree else other)}
        )
        try:
            train(folder, STEPS + 1)
        except L2LRNNError as error:
            refused.append(str(error))
    assert len(refused) >= 3


def problem_parts():
    from l2l_rnn.training.fitting import make_trainer

    trainer = make_trainer(
        max_steps=STEPS + 1, limit_val_batches=0, num_sanity_val_steps=0, **problem.QUIET
    )
    return trainer, problem.make_module()


def test_a_trainer_without_a_folder_unpickles_nothing_either(tmp_path):
    torch.save({"state_dict": Bomb(tmp_path / "exploded")}, tmp_path / "bad.ckpt")
    trainer, module = problem_parts()
    with pytest.raises(DataError, match="it can run code"):
        trainer.fit(module, problem.make_data(), ckpt_path=tmp_path / "bad.ckpt")
    assert not (tmp_path / "exploded").exists()
