"""Algorithmic tasks on bit sequences: training networks with a memory and measuring their reach."""
