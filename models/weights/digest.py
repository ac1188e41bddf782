"""Digests of files of weights, by which docs and records name them."""

import hashlib
from pathlib import Path


def read_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
