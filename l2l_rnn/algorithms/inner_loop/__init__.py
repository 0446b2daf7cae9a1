"""One step of the inner loop: parameters, checks, gradients, and what is learned about the step."""
