"""One step of the inner loop: parameters, checks, gradients, and learned parts of the step."""
