"""Script: run the samples of torch's own `ModuleInfo` on our layers, and print the failures.

Importing `torch.testing._internal` changes global settings of torch, so `test_torch_samples` runs
this file in a process of its own. It prints a JSON object: for each layer of torch, the number of
samples and the failures.
"""

import json
import traceback

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.testing._internal.common_modules import module_db

import l2l_rnn.nn

NAMES = (
    *("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"),
    *("Linear", "Embedding", "LayerNorm"),
)


def differentiable(value):
    """Return the real tensors in a result or in arguments, at any depth."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, PackedSequence):
        return [value.data]
    if isinstance(value, dict):
        value = value.values()
    return [t for part in value for t in differentiable(part)] if value_is_nested(value) else []


def value_is_nested(value):
    return not isinstance(value, str) and hasattr(value, "__iter__")


def weighted(tensors):
    """Return the same random function of each list of tensors."""
    generator = torch.Generator().manual_seed(0)
    return sum((t.sin() * torch.randn(t.shape, generator=generator).to(t)).sum() for t in tensors)


def results(module, sample):
    """Return the outputs, and the first and second derivatives w.r.t. inputs and parameters."""
    given = sample.forward_input
    inputs = [t for t in differentiable((given.args, given.kwargs)) if t.is_leaf]
    leaves = [t for t in (*inputs, *module.parameters()) if t.requires_grad]
    outputs = differentiable(module(*given.args, **given.kwargs))
    options = {"allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad(weighted(outputs), leaves, create_graph=True, **options)
    total = weighted([g for g in first if g.requires_grad] or [leaves[0] * 0])
    return outputs, [*first], [*torch.autograd.grad(total, leaves, **options)]


def run(kind, ours, info, dtype, training):
    """Yield an error message, or None, for each sample."""
    samples = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=True, training=training
    )
    options = {"device": "cpu", "dtype": dtype}
    for sample in samples:
        args, kwargs = sample.constructor_input.args, sample.constructor_input.kwargs
        try:
            theirs = kind(*args, **kwargs, **options).train(training)
            layer = ours(*args, **kwargs, **options).train(training)
            layer.load_state_dict(theirs.state_dict())
            assert repr(layer) == repr(theirs), f"{layer!r} is not {theirs!r}"
            found, expected = results(layer, sample), results(theirs, sample)
            torch.testing.assert_close(found[0], expected[0])
            for order in (1, 2):
                # In float32, sums over steps and sequences cancel; float64 tests the formulas.
                largest = max(1.0, *(float(t.abs().max()) for t in expected[order] if t.numel()))
                tolerance = {"rtol": 1e-4, "atol": 1e-4 * largest}
                tolerance = tolerance if dtype == torch.float32 else {}
                torch.testing.assert_close(found[order], expected[order], **tolerance)
            if sample.reference_fn is not None:
                given = sample.forward_input
                expected = sample.reference_fn(layer, *given.args, **given.kwargs)
                torch.testing.assert_close(found[0], differentiable(expected))
        except Exception:
            where = f"{args} {kwargs} {sample.desc} {dtype} training={training}"
            yield f"{where}\n{traceback.format_exc()}"
        else:
            yield None


def main():
    report = {}
    for name in NAMES:
        kind, ours = getattr(nn, name), getattr(l2l_rnn.nn, name, None)
        infos = [info for info in module_db if info.module_cls is kind]
        if ours is None:
            continue
        errors = [
            error
            for info in infos
            for dtype, training in [(torch.float32, False), (torch.float64, True)]
            for error in run(kind, ours, info, dtype, training)
        ]
        report[name] = {"samples": len(errors), "failures": [e for e in errors if e]}
    print(json.dumps(report))  # noqa: T201 # the test reads it


if __name__ == "__main__":
    main()
