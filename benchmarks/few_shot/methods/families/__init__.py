"""Methods for task families."""
