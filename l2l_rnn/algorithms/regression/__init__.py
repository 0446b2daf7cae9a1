"""Bayesian linear regression on an encoder's vectors, with learned priors."""
