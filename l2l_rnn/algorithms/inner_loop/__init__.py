"""The inner loop: one adaptation step, and what may be learned about it."""
