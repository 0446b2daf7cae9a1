"""Loading task batches: streams, the seeded and resumable loader, and background prefetching."""
