"""Preprocessing that adapts to the training images."""
