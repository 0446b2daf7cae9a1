"""Speed of planning: how many plans a second a `CrossEntropyPlanner` makes on one core.

`python -m benchmarks.speed.planning` times plans of 40 candidates, 15 steps and 3 iterations for 1
and for 20 pendulums: with their true physics, with a network that ALPaCA has adapted to 100
transitions of each, and with one that MAML has adapted. The plans of 20 bodies are made at once,
and in a loop over the bodies. It prints a table of medians and saves them as JSON: CPU time of one
thread, which other programs affect less than wall time.
"""
