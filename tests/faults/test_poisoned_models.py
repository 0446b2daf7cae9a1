"""Saved learners that were made to mislead: no code runs, no memory fills, errors are clear."""

import hashlib
import json
import os
import pickle
import shutil
import struct

import pytest
import torch

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.errors import DataError, L2LRNNError
from l2l_rnn.estimators import FewShotClassifier, UserStore
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.training import Pretrained, TextInputs, adapted, load_user, save_user
from l2l_rnn.training.saved.model_files import _described
from l2l_rnn.training.saved.tensors import from_bytes, to_bytes

MODEL = ("learner", "arguments", "model")


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a saved learner."""
    torch.manual_seed(0)
    learner = MAML(SequenceClassifier(3, vocab_size=9, hidden_size=5), 0.1)
    folder = tmp_path_factory.mktemp("saved") / "model"
    Pretrained(learner, TextInputs(CharacterVocabulary(["abc"]), 6)).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of it."""
    return shutil.copytree(saved, tmp_path / "model")


def change(folder, path, value):
    """Change the configuration, with all its checksums."""
    config = json.loads((folder / "config.json").read_text())
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    tensors, metadata = from_bytes("me", (folder / "model.safetensors").read_bytes(), "a file")
    data = to_bytes(tensors, {**metadata, "describes": _described(config)})
    config["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "model.safetensors").write_bytes(data)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ((*MODEL, "class"), "os.system", "unknown configurable class 'os.system'"),
        ((*MODEL, "class"), ["os", "system"], "every class of the saved learner must be known"),
        ((*MODEL, "class"), "Module", "unknown configurable class 'Module'"),
        ((*MODEL, "class"), "torch.nn.Linear", "unknown configurable class"),
        ((*MODEL, "arguments"), {"__class__": 3}, "must be those of its constructor"),
        ((*MODEL, "arguments"), ["touch exploded"], "must be a dict, got list"),
        ((*MODEL, "arguments", "hidden_size"), 10**5, "parameters as the weights|alloc"),
        ((*MODEL, "arguments", "ways"), 10**9, "parameters as the weights|alloc"),
        ((*MODEL, "arguments", "ways"), 10**18, "cannot be constructed"),
        ((*MODEL, "arguments", "num_layers"), 10**9, "parameters as the weights"),
        ((*MODEL, "arguments", "hidden_size"), 6, "hidden_size|architecture|weight"),
        (("learner", "arguments", "lr"), {"dtype": "load"}, "must be one of torch's"),
        (("learner", "arguments", "lr"), {"unknown": "os.system"}, "cannot be constructed here"),
        (("learner",), {"class": "SequenceClassifier", "arguments": {}}, "a learner"),
        (("inputs", "kind"), "os", "kind must be one of pairs, series, text, got 'os'"),
        (("inputs", "pipeline"), {"format": "os.system"}, "must be one of"),
    ],
)
def test_a_configuration_that_misleads_is_refused(path, value, said, folder):
    change(folder, path, value)
    for load in (Pretrained.from_pretrained, FewShotClassifier.from_pretrained):
        with pytest.raises(L2LRNNError, match=said):
            load(folder)


def test_a_pickle_in_place_of_each_file_is_refused(folder, tmp_path):
    bomb, kept = Bomb(tmp_path / "exploded"), {}
    for name in ("model.safetensors", "config.json"):
        kept[name] = (folder / name).read_bytes()
        for write in (
            lambda path: path.write_bytes(pickle.dumps(bomb)),
            lambda path: torch.save(bomb, path),
        ):
            write(folder / name)
            with pytest.raises(DataError, match=name):
                Pretrained.from_pretrained(folder)
        (folder / name).write_bytes(kept[name])
    for name in ("pytorch_model.bin", "inputs.pkl", "config.py", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(bomb))  # files that other libraries would load
    Pretrained.from_pretrained(folder)
    assert not (tmp_path / "exploded").exists()


def lying(header, data=b"", size=None):
    """Return safetensors bytes with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


LIES = {
    "longer than the file": lying({"a": entry()}, bytes(8), size=2**40),
    "negative size": lying({"a": entry()}, bytes(8), size=2**64 - 1),
    "no header": struct.pack("<Q", 0),
    "offsets beyond the end": lying({"a": entry(offsets=(0, 800), shape=(200,))}, bytes(8)),
    "offsets backwards": lying({"a": entry(offsets=(8, 0))}, bytes(8)),
    "negative offsets": lying({"a": entry(offsets=(-8, 0))}, bytes(8)),
    "overlap": lying({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
    "another size": lying({"a": entry(shape=(3,))}, bytes(8)),
    "a product that overflows": lying({"a": entry(shape=(2**62, 4, 2))}, bytes(8)),
    "an unknown type": lying({"a": entry(dtype="PICKLE")}, bytes(8)),
    "nested too deeply": lying(b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "twice the same name": lying(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' * 2),
    "metadata that is no text": lying({"__metadata__": {"format": 3}, "a": entry()}, bytes(8)),
    "a list": lying([entry()], bytes(8)),
    "not UTF-8": lying(b"\xff\xfe{}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(lie, folder, saved, tmp_path):
    data = LIES[lie]
    (folder / "model.safetensors").write_bytes(data)
    config = json.loads((folder / "config.json").read_text())
    config["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"model\.safetensors must be a complete safetensors file"):
        Pretrained.from_pretrained(folder)
    with pytest.raises(DataError, match="safetensors"):
        load_user(Pretrained.from_pretrained(saved).learner, data)


def test_the_state_of_a_user_runs_nothing(saved, tmp_path):
    learner = Pretrained.from_pretrained(saved).learner
    x, y = torch.randint(2, 9, (6, 5)), torch.arange(6) % 3
    data = save_user(adapted(learner, x, y))
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    for bad in (bomb, bomb + data, data[:-1], data + b"\0", b"", data[:100] + bomb + data[100:]):
        with pytest.raises(DataError):
            load_user(learner, bad)
    assert not (tmp_path / "exploded").exists()
    load_user(learner, data)


def test_a_pickle_in_place_of_a_store_is_refused(saved, tmp_path):
    path, bomb = tmp_path / "users.db", pickle.dumps(Bomb(tmp_path / "exploded"))
    path.write_bytes(bomb)
    with pytest.raises(DataError, match=r"users\.db"):
        UserStore(path, saved, keep_examples=True)
    assert path.read_bytes() == bomb  # and left as it is
    assert not (tmp_path / "exploded").exists()
