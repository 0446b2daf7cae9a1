"""A learn2learn script with a recurrent model: two lines differ from its image examples.

The loop is learn2learn's: its `MAML`, its `partition_task`, its way to clone, adapt and evaluate,
as in its MAML example on mini-ImageNet. Only where the tasks and the model come from has changed.
It runs on every task set of classes, of text or of time series.

    python -m examples.drop_in --iterations 100
    python -m examples.drop_in --taskset strokes
"""

from __future__ import annotations

import argparse
import random

import l2l_rnn  # isort: skip - first, so that gym's notice stays unprinted

import learn2learn as l2l
import torch
from torch import nn, optim


def accuracy(predictions, targets):
    """Share of the predictions that are right."""
    return (predictions.argmax(dim=1) == targets).float().mean()


def fast_adapt(task, learner, loss, adaptation_steps, shots, device):
    """Adapt a learner to a task's support set; return loss and accuracy on its query set."""
    data, labels = task
    (support_x, support_y), (query_x, query_y) = l2l.data.partition_task(
        data.to(device), labels.to(device), shots=shots
    )
    for _ in range(adaptation_steps):
        learner.adapt(loss(learner(support_x), support_y))
    predictions = learner(query_x)
    return loss(predictions, query_y), accuracy(predictions, query_y)


def main(
    taskset="languages",
    ways=5,
    shots=5,
    meta_lr=0.003,
    fast_lr=0.5,
    meta_batch_size=8,
    adaptation_steps=1,
    iterations=100,
    seed=42,
    device="cpu",
):
    """Meta-train, print the progress, and return the mean accuracy on meta-test tasks."""
    random.seed(seed)
    torch.manual_seed(seed)

    # Was: l2l.vision.benchmarks.get_tasksets('mini-imagenet', ...)
    tasksets = l2l_rnn.tasksets.get_tasksets(
        taskset,
        train_ways=ways,
        train_samples=2 * shots,
        test_ways=ways,
        test_samples=2 * shots,
    )
    if getattr(tasksets.train.source, "classes", None) is None:
        raise SystemExit(f"{taskset} has no classes: see benchmarks/drop_in_regression.py")
    # Was: l2l.vision.models.MiniImagenetCNN(ways)
    model = l2l_rnn.models.SequenceClassifier(
        ways, vocab_size=tasksets.vocab_size, input_size=tasksets.input_size
    )

    model.to(device)
    maml = l2l.algorithms.MAML(model, lr=fast_lr, first_order=False)
    optimizer = optim.Adam(maml.parameters(), meta_lr)
    loss = nn.CrossEntropyLoss(reduction="mean")

    for iteration in range(iterations):
        optimizer.zero_grad()
        train_error = train_accuracy = 0.0
        for _ in range(meta_batch_size):
            learner = maml.clone()
            error, score = fast_adapt(
                tasksets.train.sample(), learner, loss, adaptation_steps, shots, device
            )
            error.backward()
            train_error += error.item() / meta_batch_size
            train_accuracy += score.item() / meta_batch_size
        for parameter in maml.parameters():
            parameter.grad.data.mul_(1.0 / meta_batch_size)
        optimizer.step()
        if iteration % 10 == 0 or iteration == iterations - 1:
            print(f"iteration {iteration}: loss {train_error:.3f}, accuracy {train_accuracy:.3f}")

    scores = []
    for _ in range(4 * meta_batch_size):
        learner = maml.clone()
        _, score = fast_adapt(
            tasksets.test.sample(), learner, loss, adaptation_steps, shots, device
        )
        scores.append(score.item())
    print(f"meta-test accuracy {sum(scores) / len(scores):.3f}")
    return sum(scores) / len(scores)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--taskset", default="languages", help="what get_tasksets knows")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    main(options.taskset, iterations=options.iterations, seed=options.seed, device=options.device)
