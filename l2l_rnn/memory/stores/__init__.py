"""Stores: memories that are written and read by key."""
