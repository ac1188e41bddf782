"""Studies: files that describe sweeps, and what a person sees while one runs."""
