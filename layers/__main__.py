"""`python -m convzoo.layers` prints the page of all layers, `docs/layers.md`."""

from convzoo.cli.list_layers import run_command

run_command()
