"""Ratings of items by users: tables, files in MovieLens's formats, and tasks."""
