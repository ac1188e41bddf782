"""Rows of a table of accuracies, with typed numbers."""

import json

ROW = {
    "command": "python train.py model=lenet data=cifar10 seed=0",
    "run_id": "0" * 32,
    "study": "zoo",
    "network": "lenet",
    "settings": ["data=cifar10"],
    "seed": 0,
    "accuracy": 0.65,
    "interval": [0.6406, 0.6593],
    "views": "none",
    "flip_accuracy": None,
    "views_accuracy": None,
    "epochs": 10,
    "seconds": 90.0,
    "parameters": 61_706,
    "macs": 651_720,
    "precision": "float32",
    "backend": "tensorflow",
    "machine": "Linux x86_64, a processor, 2 cores",
    "images": {"name": "cifar10", "digest": "ab", "count": 10_000, "copy_kind": "JPEG copy"},
    "cell": "c0",
    "code": "0123456789abcdef",
    "commit": None,
    "date": "2026-11-30",
    "not_learning": None,
}


def make_row(**values):
    """A row with some values; the cell is that of the network, unless it is given."""
    return {**ROW, "cell": f"cell of {values.get('network', 'lenet')}", **values}


def write_rows(path, rows, question="How good are they?"):
    """Write a table."""
    path.write_text(json.dumps({"question": question, "rows": rows}))
    return path
