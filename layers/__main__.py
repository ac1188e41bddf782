"""`python -m convzoo.layers` prints the page of all layers, `docs/layers.md`, or animates one of them."""

from convzoo.cli.list_layers import run_command

run_command()
