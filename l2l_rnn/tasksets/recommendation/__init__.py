"""Recommendation tasks: each user is a task."""
