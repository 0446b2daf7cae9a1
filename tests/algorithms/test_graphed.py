"""A meta-step as a CUDA graph: what it does where there is none, and equality where there is."""

import pytest
import torch

from l2l_rnn.algorithms import MAML, graphed
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier


def meta_step(device):
    torch.manual_seed(0)
    model = SequenceClassifier(3, input_size=2, hidden_size=4).to(device)
    maml = MAML(model, lr=0.1)
    optimizer = torch.optim.Adam(
        maml.parameters(), torch.tensor(1e-2, device=device), capturable=device == "cuda"
    )

    def step(x, y):
        optimizer.zero_grad()
        learner = maml.clone(tasks=len(x))
        learner.adapt(cross_entropy(learner(x), y))
        loss = cross_entropy(learner(x), y).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, maml


def batches(device):
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(2, 3, 5, 2, generator=generator).to(device),
            torch.tensor([[0, 1, 2]] * 2, device=device),
        )
        for _ in range(6)
    ]


def test_on_a_cpu_the_step_runs_as_it_is():
    step, maml = meta_step("cpu")
    plain, other = meta_step("cpu")
    run = graphed(step, warmup=2)
    assert "2 times" in run.reason
    for batch in batches("cpu"):
        assert torch.equal(run(*batch), plain(*batch))
    assert "not all on a CUDA device" in run.reason
    for a, b in zip(maml.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes a CUDA device")
def test_on_a_gpu_the_replayed_step_trains_alike():
    step, maml = meta_step("cuda")
    plain, other = meta_step("cuda")
    run = graphed(step, warmup=2)
    for batch in batches("cuda"):
        torch.testing.assert_close(run(*batch), plain(*batch), rtol=1e-4, atol=1e-5)
    assert run.reason is None
    for a, b in zip(maml.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(ArgumentError, match="recorded for inputs"):
        run(torch.zeros(1, 3, 5, 2, device="cuda"), torch.zeros(1, 3, device="cuda").long())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes a CUDA device")
def test_a_step_that_reads_the_device_falls_back_with_a_reason():
    run = graphed(lambda x: x * x.sum().item(), warmup=1)
    x = torch.ones(2, device="cuda")
    for _ in range(3):
        assert run(x).tolist() == [2, 2]
    assert "cannot be recorded" in run.reason


def test_bad_input_gets_one_clear_error():
    with pytest.raises(ArgumentError, match="warmup must be a positive integer, got 0"):
        graphed(lambda x: x, warmup=0)
    with pytest.raises(ArgumentTypeError, match=r"must be tensors, got \['Tensor', 'int'\]"):
        graphed(lambda x, y: x)(torch.zeros(1), 3)
