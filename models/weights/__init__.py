"""Weights of files, runs and publishers: read them, check them, give them to a network of the zoo.

`source.read_source` reads a source into `NamedWeights`, arrays by the names of the network's own layers, and
`load_weights` assigns these. A file of another library is first mapped onto the layers and checked.
"""

from .assign import LoadReport, load_weights
from .convert import adapt_config_to_weights, apply_changes
from .named_weights import NamedWeights
from .runs import register_run_opener
from .source import read_source

__all__ = [
    "LoadReport",
    "NamedWeights",
    "adapt_config_to_weights",
    "apply_changes",
    "load_weights",
    "read_source",
    "register_run_opener",
]
