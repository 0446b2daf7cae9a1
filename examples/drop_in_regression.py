"""Few-shot regression with learn2learn's MAML: sine waves, or the motion of unseen pendulums.

The training loop is from learn2learn's sine wave example, the task sets are from `l2l_rnn`. The
first half of a task's examples is the support set, the second half is the query set.

    python -m examples.drop_in_regression
    python -m examples.drop_in_regression --taskset dynamics
"""

from __future__ import annotations

import argparse
import random

import l2l_rnn  # isort: skip - imported first to silence gym's notice

import learn2learn as l2l
import torch
from torch import nn, optim


def fast_adapt(task, learner, loss, adaptation_steps, shots):
    """Adapt a learner to the support set of a task; return its loss on the queries."""
    inputs, targets = task
    for _ in range(adaptation_steps):
        learner.adapt(loss(learner(inputs[:shots]), targets[:shots]))
    return loss(learner(inputs[shots:]), targets[shots:])


def main(
    taskset="sinusoids",
    shots=10,
    meta_lr=0.001,
    fast_lr=0.01,
    meta_batch_size=16,
    adaptation_steps=1,
    iterations=1000,
    seed=42,
    device="cpu",
):
    """Meta-train, print the progress, and return the mean squared error on test tasks."""
    random.seed(seed)
    torch.manual_seed(seed)

    tasksets = l2l_rnn.tasksets.get_tasksets(
        taskset, train_samples=2 * shots, test_samples=2 * shots, device=device
    )
    inputs, targets = tasksets.train.sample()
    if not targets.is_floating_point() or targets.isnan().any():
        raise SystemExit(f"{taskset} has no numeric targets; use examples/drop_in.py")
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs[0].numel(), 40),
        nn.ReLU(),
        nn.Linear(40, 40),
        nn.ReLU(),
        nn.Linear(40, targets[0].numel()),
    )

    model.to(device)
    maml = l2l.algorithms.MAML(model, lr=fast_lr, first_order=False)
    optimizer = optim.Adam(maml.parameters(), meta_lr)
    loss = nn.MSELoss(reduction="mean")

    # Meta-training: adapt to each task of a batch, then update the initial parameters.
    for iteration in range(iterations):
        optimizer.zero_grad()
        train_error = 0.0
        for _ in range(meta_batch_size):
            learner = maml.clone()
            error = fast_adapt(tasksets.train.sample(), learner, loss, adaptation_steps, shots)
            (error / meta_batch_size).backward()
            train_error += error.item() / meta_batch_size
        optimizer.step()
        if iteration % 100 == 0 or iteration == iterations - 1:
            print(f"iteration {iteration}: loss {train_error:.3f}")

    # Meta-test: adapt to unseen tasks.
    errors = []
    for _ in range(8 * meta_batch_size):
        learner = maml.clone()
        error = fast_adapt(tasksets.test.sample(), learner, loss, adaptation_steps, shots)
        errors.append(error.item())
    print(f"test error {sum(errors) / len(errors):.3f}")
    return sum(errors) / len(errors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--taskset", default="sinusoids", help="name of a regression task set")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    main(options.taskset, iterations=options.iterations, seed=options.seed, device=options.device)
