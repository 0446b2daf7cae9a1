"""Benchmarks of what interrupts a training: it is killed, and resumed."""
