"""Normalization inside a network."""
