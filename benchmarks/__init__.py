"""Benchmarks: few-shot experiments, algorithmic tasks, speed, and reports of their results."""
