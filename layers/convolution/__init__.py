"""Convolutions, and layers with weights of their own for each place."""
