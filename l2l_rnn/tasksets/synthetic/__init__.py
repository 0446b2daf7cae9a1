"""Synthetic regression and recall tasks, drawn from task families."""
