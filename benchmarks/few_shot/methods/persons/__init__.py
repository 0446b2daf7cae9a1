"""Methods for tasks that have the same classes, of one person each."""
