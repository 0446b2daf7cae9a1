"""Recurrences and their derivatives: references, packing, cells, scans and passes."""
