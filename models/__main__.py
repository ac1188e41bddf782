"""`python -m convzoo.models` lists the networks; `… import` reads published weights."""

from convzoo.cli.list_networks import run_command

run_command()
