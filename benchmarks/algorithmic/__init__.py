"""Algorithmic tasks on bit sequences: training and evaluation of networks with a memory."""
