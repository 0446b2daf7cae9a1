"""`l2l-rnn export`: each format is loaded again and compared."""

import json
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from l2l_rnn.cli import main
from l2l_rnn.nn import to_torch
from l2l_rnn.training import Pretrained

# torch's exporters warn of many things, more in each release.
pytestmark = pytest.mark.filterwarnings("ignore")


def export(model, form, to, *flags):
    return main(["export", str(model), "--format", form, "--to", str(to), *flags])


@pytest.fixture(scope="module")
def encoder(model):
    return Pretrained.from_pretrained(model).learner.module


def test_a_copy_to_hand_on(model, tmp_path, encoder):
    assert export(model, "pretrained", tmp_path / "copy") == 0
    names = sorted(path.name for path in (tmp_path / "copy").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    x = torch.tensor([[3, 4, 5], [6, 2, 0]])
    again = Pretrained.from_pretrained(tmp_path / "copy").learner.module
    assert torch.equal(again(x), encoder(x))


def test_half_precision_is_half_as_large(model, tmp_path):
    assert export(model, "pretrained", tmp_path / "half", "--dtype", "float16") == 0
    whole, half = (
        sum(value.nbytes for value in load_file(folder / "model.safetensors").values())
        for folder in (model, tmp_path / "half")
    )
    assert half * 2 == whole


def test_safetensors_have_the_names_of_torch(model, tmp_path, encoder):
    assert export(model, "safetensors", tmp_path / "encoder.safetensors") == 0
    expected = to_torch(encoder).state_dict()
    found = load_file(tmp_path / "encoder.safetensors")
    assert found.keys() == expected.keys()
    assert "recurrence.weight_ih_l0_reverse" in found


def test_torchscript_takes_other_shapes(model, tmp_path, encoder, capsys):
    assert export(model, "torchscript", tmp_path / "encoder.pt", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["error"] < 1e-5
    assert result["bytes"] == (tmp_path / "encoder.pt").stat().st_size
    script = torch.jit.load(tmp_path / "encoder.pt")
    x = torch.tensor([[3, 4, 5, 6, 7, 8, 2, 0, 0]])
    torch.testing.assert_close(script(x), encoder(x))


@pytest.mark.slow
def test_torch_export_has_a_fixed_shape(model, tmp_path, encoder):
    shape = ["--batch", "2", "--length", "5"]
    assert export(model, "torch_export", tmp_path / "encoder.pt2", *shape) == 0
    program = torch.export.load(tmp_path / "encoder.pt2").module()
    x = torch.tensor([[3, 4, 5, 6, 7], [2, 3, 0, 0, 0]])
    torch.testing.assert_close(program(x), encoder(x))


@pytest.mark.skipif(find_spec("onnx") is not None, reason="onnx is installed")
def test_onnx_names_its_package(model, tmp_path, capsys):
    assert export(model, "onnx", tmp_path / "encoder.onnx") == 1
    assert "pip install onnx" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_whole_model_of_a_learner_with_a_head(maml, tmp_path):
    assert export(maml, "torchscript", tmp_path / "model.pt", "--part", "model") == 0
    assert torch.jit.load(tmp_path / "model.pt")(torch.tensor([[3, 4]])).shape == (1, 2)


def test_a_cell_without_a_counterpart_in_torch(posts, tmp_path, tiny, capsys):
    columns = ["--text", "text", "--label", "label", "--cell", "mingru"]
    assert main(["fit", "--data", str(posts), *columns, *tiny, "--out", str(tmp_path / "m")]) == 0
    assert export(tmp_path / "m", "torchscript", tmp_path / "a.pt") == 1
    assert "needs the cells rnn, gru or lstm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said", "code"),
    [
        (["--format", "torchscrpt", "--to", "x"], "one of pretrained, safetensors", 2),
        ([], "--to is missing", 2),
        (["--to", "EXISTS"], "--to must not exist", 1),
        (
            ["--to", "NEW", "--format", "safetensors", "--part", "model"],
            "needs a model with a head",
            1,
        ),
        (
            ["--to", "NEW", "--format", "safetensors", "--dtype", "float16"],
            "only for the format",
            1,
        ),
        (["--to", "NEW/deep", "--format", "safetensors"], "the folder of --to must exist", 1),
    ],
)
def test_what_cannot_be_exported(flags, said, code, model, tmp_path, capsys):
    names = {"EXISTS": str(tmp_path), "NEW": str(tmp_path / "new")}
    given = [flag.replace("NEW", names["NEW"]).replace("EXISTS", names["EXISTS"]) for flag in flags]
    assert main(["export", str(model), *given]) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
