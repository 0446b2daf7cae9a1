"""Families of regression and memory tasks that are drawn, not stored."""
