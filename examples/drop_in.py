"""Few-shot classification with learn2learn's MAML and a recurrent model.

This is learn2learn's mini-ImageNet example with two changes: the task sets and the model come from
`l2l_rnn`. Everything else is from learn2learn: `MAML`, `partition_task`, `clone()`, `adapt()`. It
runs on every classification task set of text or time series:

    python -m examples.drop_in
    python -m examples.drop_in --taskset strokes --iterations 500

`python -m benchmarks list` prints the task sets.
"""

from __future__ import annotations

import argparse
import random

import l2l_rnn  # isort: skip - imported first to silence gym's notice

import learn2learn as l2l
import torch
from torch import nn, optim


def accuracy(predictions, targets):
    """Return the fraction of correct predictions."""
    return (predictions.argmax(dim=1) == targets).float().mean()


def fast_adapt(task, learner, loss, adaptation_steps, shots, device):
    """Adapt a learner to the support set of a task; return its loss and accuracy on the queries."""
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
    """Meta-train, print the progress, and return the mean accuracy on test tasks."""
    random.seed(seed)
    torch.manual_seed(seed)

    # Change 1. Was: l2l.vision.benchmarks.get_tasksets('mini-imagenet', ...)
    tasksets = l2l_rnn.tasksets.get_tasksets(
        taskset,
        train_ways=ways,
        train_samples=2 * shots,
        test_ways=ways,
        test_samples=2 * shots,
    )
    if getattr(tasksets.train.source, "classes", None) is None:
        raise SystemExit(f"{taskset} has no classes; use examples/drop_in_regression.py")
    # Change 2. Was: l2l.vision.models.MiniImagenetCNN(ways)
    model = l2l_rnn.models.SequenceClassifier(
        ways, vocab_size=tasksets.vocab_size, input_size=tasksets.input_size
    )

    model.to(device)
    maml = l2l.algorithms.MAML(model, lr=fast_lr, first_order=False)
    optimizer = optim.Adam(maml.parameters(), meta_lr)
    loss = nn.CrossEntropyLoss(reduction="mean")

    # Meta-training: adapt to each task of a batch, then update the initial parameters.
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

    # Meta-test: adapt to tasks of unseen classes.
    scores = []
    for _ in range(4 * meta_batch_size):
        learner = maml.clone()
        _, score = fast_adapt(
            tasksets.test.sample(), learner, loss, adaptation_steps, shots, device
        )
        scores.append(score.item())
    print(f"test accuracy {sum(scores) / len(scores):.3f}, chance level {1 / ways:.3f}")
    return sum(scores) / len(scores)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--taskset", default="languages", help="name of a task set with classes")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    main(options.taskset, iterations=options.iterations, seed=options.seed, device=options.device)
