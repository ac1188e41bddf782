"""Training beside `fit` and PyTorch, layers beside their peers, a sweep in several processes beside one, its runs."""
