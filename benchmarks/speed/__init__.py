"""Speed benchmarks, which time this package and its peers in one process."""
