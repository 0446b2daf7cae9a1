"""Methods that learn nothing from the training classes."""
