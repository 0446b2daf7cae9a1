"""Few-shot experiments with recurrent learners, run by `python -m benchmarks`."""
