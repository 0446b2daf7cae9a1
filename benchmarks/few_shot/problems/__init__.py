"""The tasks of an experiment: streams to train on, fixed tasks to evaluate on."""
