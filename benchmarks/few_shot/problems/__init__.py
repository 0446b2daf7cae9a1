"""Tasks of an experiment: an unlimited stream for training, fixed ones for evaluation."""
