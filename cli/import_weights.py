"""`python -m convzoo.models import NAME FILE --output OUT.keras`: published weights as a model of convzoo."""

import argparse
import sys
from pathlib import Path
from typing import Any

from .. import UserError
from ..training import backend


def add_parser(commands: Any) -> None:
    """Add the command to those of `python -m convzoo.models`."""
    text = "Writes a network with the weights of a file, checked, as a `.keras` file. docs/weights.md says which files."
    parser: argparse.ArgumentParser = commands.add_parser("import", help="read weights of a file", description=text)
    parser.add_argument("network", metavar="NAME", help="of a network, as `python -m convzoo.models` lists them")
    parser.add_argument("weights", metavar="FILE", help="a file of weights, run:ID or imagenet")
    parser.add_argument("--output", metavar="OUT.keras", required=True, help="the file to write")
    parser.set_defaults(run=lambda options: import_weights(options.network, options.weights, options.output))


def import_weights(network: str, weights: str, output: str) -> None:
    """Build a network with the weights of a source and as many classes, and write it into a file.

    Args:
        network: name of the network.
        weights: a file, `run:ID` or "imagenet".
        output: path of the `.keras` file, which must not exist.

    Raises:
        UserError: the file exists, or the weights cannot be read or leave a layer out.
    """
    path = Path(output)
    if path.suffix != ".keras" or path.exists() or not path.parent.is_dir():
        raise UserError(f"`--output` must be a new file NAME.keras in a folder that exists. Received: {output}")
    print(f"{network}{backend.describe_loading()}", file=sys.stderr, flush=True)
    backend.start("float32")
    from ..models import build
    from ..models.weights import load_weights, read_source

    source = read_source(weights, network)
    model = build(network, weights=source)
    if new_layers := load_weights(model, source).new_layers:
        raise UserError(
            f"{source.label} has no weights for {', '.join(new_layers)} of {network} with {model.output_shape[-1]} "
            "classes: `import` needs those of all layers, in a `.keras` file if the number of classes is another one"
        )
    model.save(path)
    print(
        f"{path}: {network} with the weights of {source.label}" + (f", SHA-256 {source.digest}" * bool(source.digest))
    )
