"""Hydra's configs. This file makes the folder a package, so that an installed wheel finds them too."""
