"""External memories: addressing, fast weights, and passes that run a memory over sequences."""
