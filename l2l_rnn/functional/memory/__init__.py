"""External memories: addressing, fast weights, and the passes that run a memory over a sequence."""
