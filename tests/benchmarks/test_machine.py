"""Devices by name."""

import pytest
import torch

from benchmarks.machine import device_name, device_of, versions
from l2l_rnn.errors import ArgumentError


def test_the_cpu():
    assert device_of("cpu") == torch.device("cpu")
    assert device_name(device_of("cpu")).startswith("CPU ")


def test_a_gpu_is_found_or_the_error_says_what_to_do():
    if torch.cuda.is_available():
        assert device_of("gpu").type == "cuda"
        assert device_name(device_of("gpu")) == torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        assert device_of("gpu").type == "mps"
    else:
        with pytest.raises(ArgumentError, match=r"^torch .*, or use --device cpu$"):
            device_of("gpu")


@pytest.mark.parametrize("name", ["warp", "cuda:99", "cpu:x", "", "meta"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(ArgumentError, match=r"^torch cannot use it \(.+\); choose cpu or gpu$"):
        device_of(name)


def test_versions_have_what_makes_the_data():
    assert {"python", "l2l_rnn", "torch", "babel", "Hershey-Fonts"} <= set(versions())
