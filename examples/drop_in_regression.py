"""A learn2learn script that regresses: sine waves, or how an unseen body moves.

The loop is learn2learn's, as in its MAML example on sine waves: the first half of a task's examples
is its support, the second its query.

    python -m examples.drop_in_regression --iterations 1000
    python -m examples.drop_in_regression --taskset dynamics
"""

from __future__ import annotations

import argparse
import random

import l2l_rnn  # isort: skip - first, so that gym's notice stays unprinted

import learn2learn as l2l
import torch
from torch import nn, optim


def main(
    taskset="sinusoids",
    shots=10,
    meta_lr=0.001,
    fast_lr=0.01,
    meta_batch_size=16,
    iterations=1000,
    seed=42,
    device="cpu",
):
    """Meta-train, print the progress, and return the mean squared error on meta-test tasks."""
    random.seed(seed)
    torch.manual_seed(seed)
    tasksets = l2l_rnn.tasksets.get_tasksets(
        taskset, train_samples=2 * shots, test_samples=2 * shots, device=device
    )
    inputs, answers = tasksets.train.sample()
    if not answers.is_floating_point() or answers.isnan().any():
        raise SystemExit(f"{taskset} asks for no numbers: see benchmarks/drop_in.py")
    model = nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(inputs[0].numel(), 40), nn.ReLU()),
        *(nn.Linear(40, 40), nn.ReLU()),
        nn.Linear(40, answers[0].numel()),
    ).to(device)
    maml = l2l.algorithms.MAML(model, lr=fast_lr, first_order=False)
    optimizer = optim.Adam(maml.parameters(), meta_lr)
    loss = nn.MSELoss(reduction="mean")

    def evaluate(task):
        """Adapt to the first half of a task; return the loss on the second."""
        inputs, answers = task
        learner = maml.clone()
        learner.adapt(loss(learner(inputs[:shots]), answers[:shots]))
        return loss(learner(inputs[shots:]), answers[shots:])

    for iteration in range(iterations):
        optimizer.zero_grad()
        error = 0.0
        for _ in range(meta_batch_size):
            evaluation = evaluate(tasksets.train.sample()) / meta_batch_size
            evaluation.backward()
            error += evaluation.item()
        optimizer.step()
        if iteration % 100 == 0 or iteration == iterations - 1:
            print(f"iteration {iteration}: loss {error:.3f}")

    errors = [evaluate(tasksets.test.sample()).item() for _ in range(8 * meta_batch_size)]
    print(f"meta-test error {sum(errors) / len(errors):.3f}")
    return sum(errors) / len(errors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--taskset", default="sinusoids", help="what get_tasksets knows")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    main(options.taskset, iterations=options.iterations, seed=options.seed, device=options.device)
