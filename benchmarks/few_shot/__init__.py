"""Few-shot experiments: problems, methods, specifications and the runner."""
