"""Time and memory that the Lightning Trainer adds to a bare meta-step.

`python -m benchmarks.speed.training_overhead` times meta-steps of `training.MetaLearning` in a
Lightning `Trainer` with `training.TaskData`, against the same meta-steps in a loop written by hand:
draw tasks, clone, adapt, compute the query loss, differentiate, clip, and take an Adam step. Both
train the same model on tasks of `languages`, on one thread. They alternate, one step each. The
first size takes about 150 ms on the machine of the published results.

It also trains for 2,000 steps in a process of its own, with MAML and with a memory learner, and
reports the resident memory after 200 steps and at the end.

It prints a table of medians and saves all values as JSON: wall time, and CPU time of the training
thread, which other programs affect less.
"""
