"""Tasks of an experiment: an endless stream for training, and fixed tasks for evaluation."""
