"""Numbers about trained networks: metrics, calibration, shift, comparison, statistics."""
