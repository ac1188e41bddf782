"""`python -m convzoo.models` lists the networks; with `--markdown` it prints the page `docs/networks.md`.

Counting them builds them all, which takes a minute. So the list is read from `networks.json`, a row for each network
with a digest of the configs that it was counted from; a network whose config is new or was edited is counted again.
`--store` counts all and writes the file, `--fresh` counts all.

`python -m convzoo.models import NAME FILE --output OUT.keras` is in `import_weights`, `… profile NAME` in
`profile_network`.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .. import UserError
from ..settings.schema import Schema, parse
from ..settings.terminal import safe_output, terminal_width
from ..settings.text import fold, printable
from ..training import backend
from . import import_weights, profile_network

NARROW_COLUMNS = "{:<24}{:>6}{:>12}{:>14}{:>16}{:>8}"
COLUMNS = NARROW_COLUMNS + "  {:<72}{}"
HEAD = ("network", "year", "image", "parameters", "MACs", "recipe", "published error, %", "paper")
RECIPE = HEAD.index("recipe")
STORED = Path(__file__).parents[1] / "models" / "networks.json"
CONFIGS_FOLDER = Path(__file__).parents[1] / "configs"
PAGE = """# The networks

Parameters are the trainable ones, MACs the multiplications of one image with convolution and dense weights; both are
counted on the layers as built and tested against the papers. Errors are the papers', where + is with augmentation.
Where paper and layers differ, the model's file, `configs/model/NAME.yaml`, says so. `_cifar` is a form for 32×32 images
that the paper does not have. A recipe is the file of `configs/recipe/` that `recipe=paper` takes; it cites its source.
This page is printed by `python -m convzoo.models --markdown`."""


class StoredRow(Schema):
    """A network in `networks.json`.

    Attributes:
        digest: of the configs that it was counted from.
        cells: what `HEAD` says of it.
    """

    digest: str
    cells: list[str]


def lines(names: Iterable[str] | None = None) -> Iterator[tuple[str, ...]]:
    """Yield a row of `HEAD` for each network, as text, counted on its layers.

    Args:
        names: of the networks; default: all of them.
    """
    from ..models import names as all_names
    from ..models import plan
    from ..models.registry import paper, recipe_name

    for name in all_names() if names is None else names:
        about, counts, recipe = paper(name), plan(name), recipe_name(name) or ""
        errors = ", ".join(f"{error} {where}" for where, error in (about.get("error") or {}).items())
        image = "×".join(map(str, counts.image_shape))
        counted = f"{counts.params:,}", f"{counts.macs:,}"
        yield name, str(about["year"]), image, *counted, recipe, errors, _link_title(about)


def stored_lines(stored: Path = STORED) -> Iterator[tuple[str, ...]]:
    """Yield the rows of `lines`, read from a file if the configs are those that it was counted from."""
    rows = _read(stored)
    for path in sorted((CONFIGS_FOLDER / "model").glob("*.yaml")):
        row = rows.get(path.stem)
        if row and row.digest == digest(path):
            yield tuple(row.cells)
        else:
            if "keras" not in sys.modules:
                print(f"counting {path.stem}{backend.describe_loading()}", file=sys.stderr, flush=True)
                backend.start("float32")
            yield from lines([path.stem])


def store(counted: Iterable[tuple[str, ...]], stored: Path = STORED) -> None:
    """Write the rows of `lines` for all networks into the file that `stored_lines` reads."""
    rows = {
        line[0]: {"digest": digest(CONFIGS_FOLDER / "model" / f"{line[0]}.yaml"), "cells": line} for line in counted
    }
    stored.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def _read(stored: Path) -> dict[str, StoredRow]:
    try:
        rows = json.loads(stored.read_text())
    except (OSError, ValueError):
        rows = {}
    if not isinstance(rows, dict):
        rows = {}
    return {name: parse(StoredRow, row, f"{stored.name}, {name}") for name, row in rows.items()}


def digest(path: Path) -> str:
    """Return 16 hexadecimal digits that change with the config of a network and the configs that it includes."""
    result = hashlib.blake2b(digest_size=8)
    pending = [path]
    read: set[Path] = set()
    while pending:
        if (path := pending.pop()) in read or not path.exists():
            continue
        read.add(path)
        text = path.read_text()
        result.update(f"{text}\0".encode())
        included = re.search(r"^defaults:\n((?: +- .*\n)+)", text, re.MULTILINE)
        for name in re.findall(r"- (/?[\w/]+)", included[1] if included else ""):
            if name != "_self_":
                pending.append(
                    (CONFIGS_FOLDER / name.strip("/") if name[0] == "/" else path.with_name(name)).with_suffix(".yaml")
                )
    return result.hexdigest()


def _link_title(paper: dict[str, Any]) -> str:
    title = str(paper["title"])
    return f"[{title}](https://arxiv.org/abs/{paper['arxiv']})" if paper.get("arxiv") else title


def table(rows: Iterable[tuple[str, ...]], width: int | None = None) -> Iterator[str]:
    """Yield the lines of a table for the screen.

    Args:
        rows: as `lines` yields them.
        width: of the screen; None is unlimited. On a narrow screen errors and paper have lines of their own.

    A recipe is marked "paper", the word that chooses it.
    """
    wide = width is None or width >= 160
    narrow = width or 160
    yield COLUMNS.format(*HEAD) if wide else fold(NARROW_COLUMNS.format(*HEAD), narrow)
    for *cells, errors, title in rows:
        cells[RECIPE] = "paper" if cells[RECIPE] else ""
        title = printable(title.strip("[").partition("](")[0])
        if wide:
            yield COLUMNS.format(*cells, errors, title)
        else:
            yield fold(NARROW_COLUMNS.format(*cells).rstrip(), narrow)
            yield fold(f"    {title}", narrow)
            if errors:
                yield fold(f"    error, %: {errors}", narrow)


def page(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of the page docs/networks.md."""
    yield from (PAGE, "", f"| {' | '.join(HEAD)} |", "|---|---:|---|---:|---:|---|---|---|")
    for name, *cells, recipe, errors, title in rows:
        yield " | ".join([f"| `{name}`", *cells, f"`{recipe}`" if recipe else "", errors, title]) + " |"


def main() -> None:
    """Print the list, or what another command prints."""
    parser = argparse.ArgumentParser(prog="python -m convzoo.models", description="Lists, measures or fills networks.")
    parser.add_argument("--markdown", action="store_true", help="as the page docs/networks.md")
    parser.add_argument("--fresh", action="store_true", help="count all networks again, which takes a minute")
    parser.add_argument("--store", action="store_true", help="count all again and write models/networks.json")
    parser.set_defaults(run=print_list)
    commands = parser.add_subparsers(title="commands", metavar="")
    profile = commands.add_parser("profile", help="measure the latency of a network by batch size")
    profile_network.add_options(profile)
    profile.set_defaults(run=profile_network.run)
    import_weights.add_parser(commands)
    options = parser.parse_args()
    options.run(options)


def print_list(options: argparse.Namespace) -> None:
    """Print the list of all networks."""
    rows: Iterable[tuple[str, ...]] = stored_lines()
    if options.fresh or options.store:
        print(f"counting all networks{backend.describe_loading()}", file=sys.stderr, flush=True)
        backend.start("float32")  # without the noise of its start
        rows = lines()
    if options.store:
        rows = list(rows)
        store(rows)
    for line in page(rows) if options.markdown else table(rows, terminal_width()):
        print(line, flush=True)


def run_command() -> None:
    """Print the list, or run another command; it ends silently when nobody reads it any more, a mistake in one line."""
    with safe_output():
        try:
            main()
        except UserError as error:
            from .command import exit_with  # which takes seconds to import

            exit_with(str(error))
