"""Learners that keep support sets: their classifiers are functions of the support vectors."""
