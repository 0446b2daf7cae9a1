"""Clones of encoders with frozen embeddings."""

import copy

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import R2D2, MemoryLearner, ProtoNet
from l2l_rnn.algorithms.encoded import clone_encoder
from l2l_rnn.memory import KeyValueMemory
from l2l_rnn.models import MemoryModel

WAYS = 3


class Encoder(nn.Module):
    """Mean of frozen word vectors, with a decoder whose weight is tied to them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(20, 6).requires_grad_(False)
        self.layer = nn.Linear(6, 4)
        self.decoder = nn.Linear(6, 20)
        self.decoder.weight = self.words.weight
        self.input_size, self.output_size = None, 4

    def forward(self, x):
        return self.layer(self.words(x).mean(-2))


def storage(tensor):
    return tensor.untyped_storage().data_ptr()


@pytest.fixture(params=["ProtoNet", "R2D2", "MemoryLearner"])
def learner(request):
    if request.param == "MemoryLearner":
        return MemoryLearner(MemoryModel(Encoder(), KeyValueMemory(4, WAYS)))
    return {"ProtoNet": ProtoNet, "R2D2": R2D2}[request.param](Encoder(), WAYS)


def encoder_of(learner):
    return learner.module.encoder if isinstance(learner, MemoryLearner) else learner.module


def test_frozen_embeddings_are_shared_and_other_parameters_are_copied(learner):
    encoder = encoder_of(learner)
    clone = encoder_of(learner.clone())
    assert storage(clone.words.weight) == storage(encoder.words.weight)
    assert clone.decoder.weight is clone.words.weight
    for layer in ("layer", "decoder"):
        own, copied = getattr(encoder, layer).bias, getattr(clone, layer).bias
        assert storage(copied) != storage(own)
    encoder.words.requires_grad_(True)
    clone = encoder_of(learner.clone())
    assert storage(clone.words.weight) != storage(encoder.words.weight)


def test_a_clone_moves_without_its_base(learner):
    clone = learner.clone().double()
    assert encoder_of(clone).words.weight.dtype == torch.float64
    assert encoder_of(learner).words.weight.dtype == torch.float32


def test_a_copy_of_a_clone_owns_its_embeddings(learner):
    copied = encoder_of(copy.deepcopy(learner.clone()))
    assert storage(copied.words.weight) != storage(encoder_of(learner).words.weight)


def test_gradients_are_those_of_a_full_copy(learner):
    x, y = torch.randint(20, (9, 5)), torch.arange(9) % WAYS

    def gradients(frozen):
        learner.zero_grad()
        encoder_of(learner).words.requires_grad_(not frozen)
        clone = learner.clone()
        clone.write(x, y)
        nn.functional.cross_entropy(clone(x.flip(-1) + x % 2), y).backward()
        layer = encoder_of(learner).layer
        return layer.weight.grad.clone(), layer.bias.grad.clone()

    x = x.clamp(max=18)
    torch.testing.assert_close(gradients(frozen=True), gradients(frozen=False))


def test_tensors_of_inference_mode_are_copied():
    with torch.inference_mode():
        encoder = Encoder()
    clone = clone_encoder(encoder)
    assert storage(clone.words.weight) != storage(encoder.words.weight)
    assert not clone.words.weight.is_inference()
