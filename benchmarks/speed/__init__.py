"""Speed benchmarks: each times this package beside a peer in one process."""
