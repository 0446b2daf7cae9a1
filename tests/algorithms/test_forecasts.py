"""Learners on forecasting tasks, from the windows of a dataset to forecasts in units."""

import pytest
import torch

from l2l_rnn.algorithms import MAML, ALPaCA, MemoryLearner
from l2l_rnn.data import ForecastingDataset, SourceTaskset, TaskLoader
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder

CONTEXT, HORIZON, CHANNELS = 6, 2, 2
SHOTS, QUERIES, TASKS = 5, 3, 4


def waves(count, seed=0):
    """Sine waves in two channels, with a period, level and amplitude of their own."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(80.0)
    for _ in range(count):
        period, level, size, phase = torch.rand(4, 2, generator=generator)
        angle = time.unsqueeze(1) * 6.28 / (4 + 4 * period) + 6.28 * phase
        yield 1000 * level + (1 + 99 * size) * angle.sin()


def dataset():
    return ForecastingDataset(list(waves(12)), CONTEXT, HORIZON)


def memory_learner():
    encoder = SequenceEncoder(input_size=CHANNELS, hidden_size=16, cell="gru")
    store = DeltaFastWeights(key_size=16, value_size=HORIZON * CHANNELS, features="unit")
    return MemoryLearner(MemoryModel(encoder, store, regression=True))


def alpaca():
    return ALPaCA(SequenceEncoder(input_size=CHANNELS, hidden_size=16), HORIZON * CHANNELS)


def write(learner, x, y):
    learner.write(x, y)


def adapt(learner, x, y):
    learner.adapt(mean_squared_error(learner(x), y))


def maml():
    # A classifier is an encoder and a linear head, so it forecasts just as well.
    return MAML(SequenceClassifier(HORIZON * CHANNELS, input_size=CHANNELS, hidden_size=16), lr=0.1)


LEARNERS = {
    "memory, write": (memory_learner, write),
    "memory, adapt": (memory_learner, adapt),
    "MAML": (maml, adapt),
    "ALPaCA, write": (alpaca, write),
    "ALPaCA, adapt": (alpaca, adapt),
}


@pytest.mark.parametrize(("make", "learn"), LEARNERS.values(), ids=LEARNERS)
def test_learners_train_on_the_batches_of_a_loader(make, learn):
    torch.manual_seed(0)
    learner, source = make(), dataset()
    taskset = SourceTaskset(source, ways=1, samples=SHOTS + QUERIES)
    optimizer = torch.optim.Adam(learner.parameters(), 1e-2)
    losses = []
    for batch in TaskLoader(taskset, tasks=TASKS, shots=SHOTS, batches=80, seed=1):
        adapted = learner.clone(tasks=TASKS)
        learn(adapted, batch.support_x, batch.support_y)
        loss = mean_squared_error(adapted(batch.query_x), batch.query_y)
        assert loss.shape == (TASKS,)
        optimizer.zero_grad()
        loss.mean().backward()
        for name, parameter in learner.named_parameters():
            if name != "log_noise":  # the mean of ALPaCA does not depend on it
                assert parameter.grad.isfinite().all()
        optimizer.step()
        losses.append(loss.detach().mean().item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


@pytest.mark.parametrize(("make", "learn"), LEARNERS.values(), ids=LEARNERS)
def test_forecasts_of_many_tasks_equal_those_of_single_tasks_in_units(make, learn):
    torch.manual_seed(0)
    learner, source = make().double(), dataset()
    source.inputs, source.targets = source.inputs.double(), source.targets.double()
    support = torch.stack([torch.arange(i, i + SHOTS) for i in (0, 10, 30)])
    query = support[:, :QUERIES] + SHOTS
    many = learner.clone(tasks=3)
    learn(many, source.inputs[support], source.targets[support])
    forecasts = source.to_units(many(source.inputs[query]), query)
    assert forecasts.shape == (3, QUERIES, HORIZON, CHANNELS)
    for task in range(3):
        single = learner.clone()
        learn(single, source.inputs[support[task]], source.targets[support[task]])
        alone = source.to_units(single(source.inputs[query[task]]), query[task])
        torch.testing.assert_close(forecasts[task], alone)


def test_one_task_of_learn2learn():
    learner = memory_learner().clone()
    x, y = SourceTaskset(dataset(), ways=1, samples=SHOTS + QUERIES).sample()
    learner.write(x[:SHOTS], y[:SHOTS])
    assert mean_squared_error(learner(x[SHOTS:]), y[SHOTS:]).isfinite()
