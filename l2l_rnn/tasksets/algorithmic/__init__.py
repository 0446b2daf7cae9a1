"""Algorithmic tasks on bit vectors: copying, recall, n-grams and sorting."""
