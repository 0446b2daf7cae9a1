"""Methods: each trains on the tasks that it may, and is evaluated on the same test tasks."""
