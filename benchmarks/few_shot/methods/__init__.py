"""Who competes in a benchmark: each method learns what it may and is judged on the same tasks."""
