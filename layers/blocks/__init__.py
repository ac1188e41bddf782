"""Layers made of layers, and the blocks that papers name."""
