"""Saved learners come back with the same outputs, and nothing else is accepted in their place."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import l2l_rnn
from l2l_rnn.algorithms import ANIL, MAML, MetaSGD, PerTensorLR, ProtoNet
from l2l_rnn.configuration import CONFIGURABLE, configurable
from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    L2LRNNError,
    UnknownNameError,
)
from l2l_rnn.models import SequenceClassifier, SequenceEncoder
from l2l_rnn.training import (
    Pretrained,
    SeriesInputs,
    TextInputs,
    adapted,
    list_pretrained,
    load_user,
    save_user,
)
from l2l_rnn.training.saved import locations
from l2l_rnn.training.saved.model_files import _described
from l2l_rnn.training.saved.tensors import from_bytes, to_bytes
from tests.training.learners import LEARNERS, classifier, support

TEXTS = TextInputs(CharacterVocabulary(["abcdefg"]), max_length=6)
FILES = ["README.md", "config.json", "model.safetensors"]
EVALUATION = {
    "format": "l2l_rnn evaluation 1",
    "scores": {"accuracy": {"mean": 0.8, "ci95": 0.01}},
    "settings": {"taskset": "languages", "shots": 5, "ways": 5, "tasks": 600},
}


def make(name):
    torch.manual_seed(0)
    return LEARNERS[name]()


@pytest.fixture
def folder(tmp_path):
    """A folder with a saved learner."""
    model = Pretrained(make("ProtoNet"), TEXTS, classes=["x", "y"], steps=2, settings={"a": [1.5]})
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def edit(folder, **entries):
    """Change entries of the configuration."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize("name", LEARNERS)
def test_every_kind_of_learner_comes_back(name, tmp_path):
    learner = make(name)
    state = torch.get_rng_state()
    Pretrained(learner, TEXTS).save_pretrained(tmp_path / "model")
    loaded = Pretrained.from_pretrained(tmp_path / "model").learner
    assert torch.equal(torch.get_rng_state(), state)
    assert type(loaded) is type(learner)
    own, other = learner.state_dict(), loaded.state_dict()
    assert list(own) == list(other)
    assert all(torch.equal(own[key], other[key]) for key in own)
    x, y = support()
    user = adapted(learner.eval(), x, y, steps=2)
    assert torch.equal(adapted(loaded, x, y, steps=2)(x), user(x))
    assert torch.equal(load_user(loaded, save_user(user))(x), user(x))


def test_everything_that_belongs_to_a_learner_comes_back(tmp_path):
    model = Pretrained(
        make("MAML"),
        TEXTS,
        classes=["é", "b"],
        steps=3,
        loss="cross_entropy",
        settings={"quantiles": [0.1, 2]},
        evaluation=[EVALUATION],
        description="Text with Ünicode.",
        license="mit",
        tags=["own"],
    )
    model.save_pretrained(tmp_path / "model")
    loaded = Pretrained.from_pretrained(str(tmp_path / "model"))
    for name in ("inputs", "classes", "steps", "loss", "settings", "evaluation", "description"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert (loaded.license, loaded.tags) == ("mit", ["own"])
    assert not loaded.learner.training
    assert loaded.loss_function is model.loss_function
    assert sorted(os.listdir(tmp_path / "model")) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    versions = json.loads((tmp_path / "model" / "config.json").read_text())["versions"]
    assert versions["l2l_rnn"] == l2l_rnn.__version__
    assert versions["torch"] == torch.__version__
    # The same learner gives the same files.
    loaded.save_pretrained(tmp_path / "again" / "model")
    for name in os.listdir(tmp_path / "model"):
        assert (tmp_path / "again/model" / name).read_bytes() == (
            tmp_path / "model" / name
        ).read_bytes(), name


def test_raw_inputs_and_steps_are_used(folder):
    model = Pretrained.from_pretrained(folder)
    texts, y = ["ab", "cd", "e"], [0, 1, 2]
    user = model.adapted(texts, y)
    direct = adapted(model.learner, model.inputs(texts), torch.tensor(y), steps=2)
    assert torch.equal(user(model.inputs(texts)), direct(model.inputs(texts)))
    steps = Pretrained(make("MAML"), steps=2, loss="cross_entropy")
    x, y = support()
    assert steps.adapted(x, y).steps_taken == 2
    assert steps.adapted(x, y, steps=1).steps_taken == 1
    assert steps.device == torch.device("cpu")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_halves_the_file(dtype, tmp_path):
    torch.manual_seed(0)
    learner = ProtoNet(SequenceEncoder(vocab_size=50), 5)
    model = Pretrained(learner)
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "half", dtype=dtype)
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("whole", "half")]
    assert sizes[1] < 0.52 * sizes[0]
    state = Pretrained.from_pretrained(tmp_path / "half").learner.state_dict()
    for name, tensor in learner.state_dict().items():
        assert torch.equal(state[name], tensor.to(getattr(torch, dtype)).float())


def test_a_number_beyond_half_precision_is_refused(tmp_path):
    learner = make("ProtoNet")
    learner.module.embedding.weight.data[2, 0] = 1e6
    with pytest.raises(ArgumentError, match=r"embedding\.weight must fit into float16"):
        Pretrained(learner).save_pretrained(tmp_path / "model", dtype="float16")
    assert not list(tmp_path.iterdir())


class Tied(torch.nn.Module):
    """A user's model with tied weights, which is not configurable."""

    def __init__(self, ways=3, bias=True):
        super().__init__()
        self.one = torch.nn.Linear(4, 4, bias=bias)
        self.two = torch.nn.Linear(4, 4, bias=bias)
        self.two.weight = self.one.weight
        self.head = torch.nn.Linear(4, ways)
        self.register_buffer("count", torch.arange(3))

    def forward(self, x):
        return self.head(self.two(self.one(x)))


def test_a_model_of_a_user(tmp_path):
    torch.manual_seed(0)
    learner = MAML(Tied(), 0.1)
    Pretrained(learner).save_pretrained(tmp_path / "model")
    tensors, metadata = from_bytes(
        "test", (tmp_path / "model/model.safetensors").read_bytes(), "file"
    )
    assert json.loads(metadata["tied"]) == {"module.two.weight": "module.one.weight"}
    assert "module.two.weight" not in tensors
    with pytest.raises(ArgumentError, match=r"Tied\); pass an instance as model="):
        Pretrained.from_pretrained(tmp_path / "model")
    model = Tied()
    loaded = Pretrained.from_pretrained(tmp_path / "model", model=model).learner
    assert loaded.module is model
    assert model.two.weight is model.one.weight
    x = torch.randn(2, 4)
    assert torch.equal(loaded(x), learner(x))
    for wrong, match in {
        Tied(ways=2): r"module\.head\.weight: \(3, 4\), \(2, 4\); module\.head\.bias",
        Tied(bias=False): r"module\.one\.bias: \(4,\), nothing; module\.two\.bias",
        torch.nn.Linear(4, 3): "class: Tied, Linear",
    }.items():
        before = [p.clone() for p in wrong.parameters()]
        with pytest.raises(ArgumentError, match=match):
            Pretrained.from_pretrained(tmp_path / "model", model=wrong)
        assert all(torch.equal(p, q) for p, q in zip(wrong.parameters(), before, strict=True))
    with pytest.raises(ArgumentTypeError, match="instance"):
        Pretrained.from_pretrained(tmp_path / "model", model=Tied)


def test_a_configurable_model_needs_no_instance(tmp_path):
    try:
        Own = configurable(type("OwnEncoder", (SequenceEncoder,), {}))
        Pretrained(ProtoNet(Own(vocab_size=9), 3)).save_pretrained(tmp_path / "model")
        assert type(Pretrained.from_pretrained(tmp_path / "model").learner.module) is Own
    finally:
        CONFIGURABLE._members.pop("OwnEncoder")
    with pytest.raises(ArgumentError, match=r"'OwnEncoder'.*import the module"):
        Pretrained.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"pooling": "last"}, r"pooling: 'max', 'last'"),
        ({"cell": "gru"}, r"cell: 'lstm', 'gru'; module.*\(20, 3\), \(15, 3\)"),
        ({"embedding_size": 4}, r"embedding_size: 3, 4; .*\(9, 3\), \(9, 4\)"),
        ({"dropout": 0.5}, r"dropout: 0\.0, 0\.5"),
    ],
)
def test_another_architecture_is_refused_with_every_difference(other, match, tmp_path):
    Pretrained(make("MAML")).save_pretrained(tmp_path / "model")
    options = {"vocab_size": 9, "embedding_size": 3, "hidden_size": 5, "pooling": "max"}
    for learner in (
        MAML(SequenceClassifier(3, **{**options, **other}), lr=0.1, momentum=0.5),
        SequenceClassifier(3, **{**options, **other}),
    ):
        before = {key: value.clone() for key, value in learner.state_dict().items()}
        with pytest.raises(ArgumentError, match=match.replace("module", "")):
            Pretrained.from_pretrained(tmp_path / "model", model=learner)
        assert all(torch.equal(learner.state_dict()[key], value) for key, value in before.items())


def test_input_sizes_with_the_same_tensors_are_distinguished(tmp_path):
    """Token ids of 4 embedded features, and series of 4 features, have the same recurrence."""
    saved = MAML(SequenceClassifier(3, input_size=4, hidden_size=5), 0.1)
    Pretrained(saved).save_pretrained(tmp_path / "model")
    other = MAML(SequenceClassifier(3, vocab_size=7, embedding_size=4, hidden_size=5), 0.1)
    with pytest.raises(ArgumentError, match=r"input_size: 4, nothing|input_size: 4, None"):
        Pretrained.from_pretrained(tmp_path / "model", model=other)


def test_an_existing_learner_or_model_is_filled(tmp_path):
    learner = make("MAML")
    Pretrained(learner).save_pretrained(tmp_path / "model")
    x, _ = support()
    other = MAML(classifier(), lr=0.1, momentum=0.5)  # other random weights
    loaded = Pretrained.from_pretrained(tmp_path / "model", model=other)
    assert loaded.learner is other
    assert torch.equal(other(x), learner(x))
    model = SequenceClassifier(  # the same as classifier(), with a default written out
        3, vocab_size=9, embedding_size=3, hidden_size=5, pooling="max", cell="lstm"
    )
    loaded = Pretrained.from_pretrained(tmp_path / "model", model=model)
    assert loaded.learner.module is model
    assert torch.equal(loaded.learner(x), learner(x))
    for wrong, match in {
        MAML(classifier(), lr=0.2, momentum=0.5): r"\(saved, own\): lr: 0\.1, 0\.2;",
        ANIL(classifier(), 0.1): "class: 'MAML', 'ANIL'",
        make("ProtoNet"): r"class: 'MAML', 'ProtoNet'.*module\.head\.weight: \(3, 5\), nothing",
    }.items():
        with pytest.raises(ArgumentError, match=match):
            Pretrained.from_pretrained(tmp_path / "model", model=wrong)


@pytest.mark.slow
def test_a_new_process_gives_the_same_outputs(tmp_path):
    model = Pretrained(make("ensemble"), TEXTS)
    model.save_pretrained(tmp_path / "model")
    texts, y = ["ab", "cde", "fg", "a"], [0, 1, 2, 0]
    user = model.adapted(texts, y)
    (tmp_path / "user").write_bytes(save_user(user))
    script = """
        import sys, torch
        from l2l_rnn.training import Pretrained, load_user
        torch.set_num_threads(1)
        model = Pretrained.from_pretrained(sys.argv[1] + "/model")
        texts, y = ["ab", "cde", "fg", "a"], [0, 1, 2, 0]
        data = open(sys.argv[1] + "/user", "rb").read()
        for user in (model.adapted(texts, y), load_user(model.learner, data)):
            print(user(model.inputs(texts)).detach().numpy().tobytes().hex())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        cwd=Path(l2l_rnn.__file__).parents[1],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = user.eval()(model.inputs(texts)).detach().numpy().tobytes().hex()
    assert run.stdout.split() == [wanted, wanted]


def test_a_saved_learner_is_replaced_as_a_whole(folder):
    other = Pretrained(make("MAML"))
    other.save_pretrained(folder)
    assert type(Pretrained.from_pretrained(folder).learner) is MAML
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    link = folder.parent / "link"
    link.symlink_to(folder)
    Pretrained(make("ProtoNet")).save_pretrained(link)
    assert link.is_symlink()
    assert type(Pretrained.from_pretrained(folder).learner) is ProtoNet
    empty = folder.parent / "empty"
    empty.mkdir()
    other.save_pretrained(empty)


def test_other_folders_are_not_replaced(folder, tmp_path):
    model = Pretrained(make("MAML"))
    (folder / "notes.txt").write_text("mine")
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("mine")
    for path, match in {
        folder: "notes.txt",
        other: "README.md",
        other / "README.md": "file",
    }.items():
        with pytest.raises(ArgumentError, match=match):
            model.save_pretrained(path)
    assert (other / "README.md").read_text() == "mine"
    assert type(Pretrained.from_pretrained(folder).learner) is ProtoNet
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def test_a_failed_save_changes_nothing(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)  # the card is the last file
    with pytest.raises(DataError, match=r"No space left.*nothing was changed"):
        Pretrained(make("MAML")).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors.*No such file"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "checksum"),
        (lambda f: (f / "config.json").write_text("{"), "JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "saved by l2l_rnn"),
        (lambda f: edit(f, format_version=2), "format version 1, got 2; install l2l_rnn"),
        (lambda f: edit(f, format_version=None), "format version 1, got None"),
        (lambda f: edit(f, versions={"torch": "2"}), "versions of l2l_rnn, torch, learn2learn"),
        (lambda f: edit(f, classes=None), "'classes'"),
        (lambda f: edit(f, steps=3), "one of .*steps.* has changed"),
        (lambda f: edit(f, settings={"a": [1.6]}), "has changed"),
        (lambda f: edit(f, inputs=None), "saved with the weights"),
        (lambda f: edit(f, learner={"class": "ProtoNet", "arguments": {}}), "has changed"),
    ],
)
def test_damaged_files_are_refused(change, match, folder):
    change(folder)
    with pytest.raises(DataError, match=match):
        Pretrained.from_pretrained(folder)


def test_a_changed_pooling_in_the_configuration_is_refused(folder):
    learner = json.loads((folder / "config.json").read_text())["learner"]
    learner["arguments"]["model"]["arguments"]["pooling"] = "mean"
    edit(folder, learner=learner)
    with pytest.raises(DataError, match="has changed"):
        Pretrained.from_pretrained(folder)


def test_weights_of_pickle_are_refused(folder):
    torch.save({}, folder / "model.safetensors")
    data = (folder / "model.safetensors").read_bytes()
    edit(folder, weights={"sha256": hashlib.sha256(data).hexdigest()})
    with pytest.raises(DataError, match="can run code"):
        Pretrained.from_pretrained(folder)


def test_only_float32_learners_that_have_not_adapted_are_saved(tmp_path):
    x, y = support()
    for learner, match in {
        make("MAML").double(): r"float32, got torch\.float64",
        make("ProtoNet").half(): "float32",
        make("MAML").clone(tasks=2): "N=2 tasks",
        adapted(make("ProtoNet"), x, y): "save_user",
    }.items():
        with pytest.raises(ArgumentError, match=match):
            Pretrained(learner).save_pretrained(tmp_path / "model")
    with pytest.raises(UnknownNameError, match="dtype"):
        Pretrained(make("MAML")).save_pretrained(tmp_path / "model", dtype="int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"learner": torch.nn.Linear(2, 2)}, ArgumentTypeError, "clone"),
        ({"inputs": str.split}, ArgumentTypeError, "TextInputs"),
        ({"inputs": SeriesInputs(2, 0, 1)}, ArgumentError, r"vocab_size=9, got series of 2"),
        (
            {"inputs": TextInputs(CharacterVocabulary(["abcdefghi"]), 5)},
            ArgumentError,
            "vocab_size=9, got token ids below vocab_size=11",
        ),
        ({"steps": 0}, ArgumentError, "steps"),
        ({"loss": "own"}, UnknownNameError, "loss"),
        ({"classes": "abc"}, ArgumentTypeError, "one str"),
        ({"evaluation": [0.8]}, ArgumentTypeError, "float"),
    ],
)
def test_contradicting_arguments(options, error, match):
    with pytest.raises(error, match=match):
        Pretrained(**{"learner": make("ProtoNet"), **options})
    with pytest.raises(ArgumentError, match="series of 2 channels, got token ids"):
        Pretrained(ProtoNet(SequenceEncoder(input_size=2), 2), TEXTS)


def test_learners_that_their_arguments_do_not_describe(tmp_path):
    learned = MAML(classifier(), torch.nn.Parameter(torch.tensor(0.1)))
    with pytest.raises(ArgumentError, match=r"\(learner, arguments\): lr: \(\), nothing"):
        Pretrained(learned).save_pretrained(tmp_path / "model")
    changed = make("MAML")
    changed.module.head = torch.nn.Linear(5, 7)
    with pytest.raises(ArgumentError, match=r"head\.weight: \(7, 5\), \(3, 5\)"):
        Pretrained(changed).save_pretrained(tmp_path / "model")
    rates = MetaSGD(model := classifier(), lrs=[torch.ones_like(p) for p in model.parameters()])
    with pytest.raises(ArgumentError, match="numbers instead of tensors"):
        Pretrained(rates).save_pretrained(tmp_path / "model")
    model = torch.nn.Linear(4, 3)
    of_one = MAML(model, PerTensorLR(model, 0.1))  # one class in two places
    Pretrained(of_one).save_pretrained(tmp_path / "model")
    loaded = Pretrained.from_pretrained(tmp_path / "model", model=torch.nn.Linear(4, 3)).learner
    x = torch.randn(2, 4)
    assert torch.equal(loaded(x), of_one(x))


def test_devices_that_are_missing_are_named(folder):
    for device in ("nowhere", "cuda:99"):
        with pytest.raises(ArgumentError, match=f"device.*{device}"):
            Pretrained.from_pretrained(folder, device=device)


def test_an_interrupted_move_is_explained(folder):
    folder.rename(folder.with_name(".model.0123456789abcdef"))
    with pytest.raises(DataError, match=r"interrupted save has moved to .*\.model\.0123"):
        Pretrained.from_pretrained(folder)


def test_two_savers_of_one_folder(tmp_path):
    models = [Pretrained(make("ProtoNet")), Pretrained(make("MAML"))]

    def save(model):
        for _ in range(15):
            model.save_pretrained(tmp_path / "model")

    with ThreadPoolExecutor() as pool:
        list(pool.map(save, models))
    assert type(Pretrained.from_pretrained(tmp_path / "model").learner) in (ProtoNet, MAML)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_settings_that_are_no_json_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="JSON"):
        Pretrained(make("MAML"), settings={"a": object()}).save_pretrained(tmp_path / "model")
    with pytest.raises(ArgumentError, match="save"):
        Pretrained(make("MAML"), TextInputs(lambda text: [2], 5)).save_pretrained(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_bundled_models_and_folders(tmp_path, monkeypatch, folder):
    bundled = tmp_path / "weights"
    monkeypatch.setattr(locations, "BUNDLED", bundled)
    assert list_pretrained() == []
    Pretrained(make("MAML")).save_pretrained(bundled / "letters")
    assert list_pretrained() == ["letters"]
    assert type(Pretrained.from_pretrained("letters").learner) is MAML
    for name in ("leters", "", "no/such/place", tmp_path / "letters", "./letters", "~/letters"):
        with pytest.raises(UnknownNameError, match="letters"):
            Pretrained.from_pretrained(name)
    with pytest.raises(UnknownNameError, match="did you mean 'letters'"):
        Pretrained.from_pretrained("leters")
    with pytest.raises(DataError, match="without"):
        Pretrained.from_pretrained(tmp_path)
    with pytest.raises(ArgumentTypeError, match="int"):
        Pretrained.from_pretrained(3)
    with pytest.raises(ArgumentTypeError, match="bytes"):
        Pretrained(make("MAML")).save_pretrained(b"folder")
    with pytest.raises(ArgumentError, match="null"):
        Pretrained.from_pretrained("a\0b")
    monkeypatch.chdir(folder.parent)  # a folder with a saved learner comes first
    folder.rename(folder.parent / "letters")
    assert type(Pretrained.from_pretrained("letters").learner) is ProtoNet


def test_models_on_the_hub(folder, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"Hugging Face Hub or in its cache, got .*NotFound"):
        Pretrained.from_pretrained("owner/name", cache_dir=tmp_path / "c", local_files_only=True)
    calls = {}

    def download(name, **options):
        calls.update(options, name=name)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = Pretrained.from_pretrained("owner/name", revision="v1", device="cpu")
    assert type(model.learner) is ProtoNet
    assert (calls["name"], calls["revision"]) == ("owner/name", "v1")
    assert sorted(calls["allow_patterns"]) == FILES


def test_a_learner_is_published_with_its_card(tmp_path, monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, **options):
            pass

        def create_repo(self, repo_id, **options):
            return type("Url", (), {"repo_id": repo_id})

        def upload_folder(self, folder_path, **options):
            uploaded.update(options, files=sorted(os.listdir(folder_path)))
            uploaded["card"] = (Path(folder_path) / "README.md").read_text()
            return "address"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    model = Pretrained(make("MAML"))
    assert (
        model.save_pretrained(tmp_path / "m", repo_id="owner/name", push_to_hub=True) == "address"
    )
    assert uploaded["repo_id"] == "owner/name"
    assert 'from_pretrained("owner/name")' in uploaded["card"]
    assert uploaded["files"] == FILES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
PATHS = [
    (),
    ("learner",),
    ("learner", "class"),
    ("learner", "arguments"),
    ("learner", "arguments", "model"),
    ("learner", "arguments", "model", "arguments"),
    ("learner", "arguments", "ways"),
    ("inputs",),
    ("inputs", "kind"),
    ("inputs", "pipeline"),
    ("inputs", "pipeline", "characters"),
    ("inputs", "max_length"),
    ("classes",),
    ("steps",),
    ("loss",),
    ("evaluation",),
    ("versions",),
    ("weights",),
    ("weights", "sha256"),
    ("format_version",),
]


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(PATHS), value=JSON, consistent=st.booleans())
def test_misleading_configurations_give_our_errors(folder, path, value, consistent):
    """With `consistent`, the weights say that they belong to the changed configuration."""
    config, weights = folder / "config.json", folder / "model.safetensors"
    before = config.read_bytes(), weights.read_bytes()
    try:
        content = json.loads(before[0])
        at = content
        for name in path[:-1]:
            at = at[name]
        if path:
            at[path[-1]] = value
        else:
            content = value
        if consistent and isinstance(content, dict) and isinstance(content.get("weights"), dict):
            tensors, metadata = from_bytes("test", before[1], "file")
            data = to_bytes(tensors, {**metadata, "describes": _described(content)})
            weights.write_bytes(data)
            if path != ("weights", "sha256"):
                content["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
        config.write_text(json.dumps(content))
        with contextlib.suppress(L2LRNNError):
            Pretrained.from_pretrained(folder)
    finally:
        config.write_bytes(before[0])
        weights.write_bytes(before[1])


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 400), new=st.binary(max_size=8), cut=st.booleans())
def test_misleading_weights_give_our_errors(at, new, cut):
    data = to_bytes({"a": torch.ones(3), "b": torch.arange(4)}, {"format": "pt"})
    damaged = data[:at] + new + (b"" if cut else data[at + len(new) :])
    with contextlib.suppress(DataError):
        tensors, metadata = from_bytes("test", damaged, "file")
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
        assert all(isinstance(text, str) for text in metadata.values())
