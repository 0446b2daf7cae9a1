"""Methods for recommendation."""
