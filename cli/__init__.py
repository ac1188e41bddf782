"""Commands: Hydra entry points whose mistakes are one line."""
