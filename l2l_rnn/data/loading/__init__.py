"""Loaders of task batches."""
