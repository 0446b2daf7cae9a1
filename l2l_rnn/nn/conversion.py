"""Conversion of a model from torch's layers to this package's."""

from __future__ import annotations

import copy

from torch import nn

from l2l_rnn.nn.affine import Embedding, LayerNorm, Linear
from l2l_rnn.nn.cells import GRUCell, LSTMCell, RNNCell
from l2l_rnn.nn.gru import GRU
from l2l_rnn.nn.lstm import LSTM
from l2l_rnn.nn.rnn import RNN


def convert(model: nn.Module) -> nn.Module:
    """Return a copy of a model that has this package's layers in place of torch's.

    `torch.nn.RNN`, `GRU`, `LSTM`, `Linear`, `Embedding` and `LayerNorm` are replaced at any depth.
    Their subclasses are not, because they may compute something else. The two models share their
    parameters and buffers, so an optimizer or a state dict of one works for the other. `model`
    itself does not change.

    Args:
        model: any module.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GRU(3, 4))
        >>> converted = convert(model)
        >>> type(converted[1]), converted[1].weight_hh_l0 is model[1].weight_hh_l0
        (<class 'l2l_rnn.nn.gru.GRU'>, True)
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    counterparts = {layer: _counterpart(layer) for layer in twin.modules() if _is_swapped(layer)}
    for module in list(twin.modules()):
        for name, child in module._modules.items():
            if child in counterparts:
                module._modules[name] = counterparts[child]
    return counterparts.get(twin, twin)


_COUNTERPARTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: RNN,
    nn.GRU: GRU,
    nn.LSTM: LSTM,
    nn.RNNCell: RNNCell,
    nn.GRUCell: GRUCell,
    nn.LSTMCell: LSTMCell,
    nn.Linear: Linear,
    nn.Embedding: Embedding,
    nn.LayerNorm: LayerNorm,
}
# Attributes of torch's recurrent layers that only cuDNN needs.
_CUDNN_ONLY = {"_flat_weights", "_flat_weights_names", "_flat_weight_refs", "_all_weights"}


def _is_swapped(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Embedding) and (
        layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
    ):
        return False  # options that our Embedding lacks
    return type(layer) in _COUNTERPARTS


def _counterpart(layer: nn.Module) -> nn.Module:
    """Return our layer with the attributes, parameters, buffers, hooks and mode of torch's one."""
    kind = _COUNTERPARTS[type(layer)]
    twin = kind.__new__(kind)
    twin.__dict__ = {k: v for k, v in vars(layer).items() if k not in _CUDNN_ONLY}
    return twin
