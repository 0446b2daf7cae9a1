"""Algorithmic tasks on bit sequences: copy, recall, n-grams and sorting."""
