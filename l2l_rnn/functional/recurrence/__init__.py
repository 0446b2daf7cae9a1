"""Recurrences and their derivatives: references, packed steps, cells, scans and passes."""
