"""Benchmarks: speed of training, of layers, of sweeps and their runs, and a check of the default recipe."""
