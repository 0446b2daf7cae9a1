"""Training runs of `l2l-rnn fit`: settings, tasks, learners, the run and its folder."""
