"""Dropout and stochastic depth."""
