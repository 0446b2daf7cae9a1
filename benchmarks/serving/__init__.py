"""Benchmarks of models that are served: first answers, and the states of many users."""
