"""Methods: each is trained on training tasks and evaluated on the same test tasks."""
