"""Recurrences and their derivatives: packed steps, cells, scans, and the passes that run them."""
