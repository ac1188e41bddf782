"""`python -m convzoo.models` lists the networks; with `--markdown` it prints the page `docs/networks.md`."""

import argparse
import os
import sys

from convzoo.training import backend

COLUMNS = "{:<26}{:>6}{:>12}{:>14}{:>16}  {:<72}{}"
HEAD = ("network", "year", "image", "parameters", "MACs", "published error, %", "paper")
PAGE = """# The networks

Parameters are the trainable ones, MACs the multiplications of one image with convolution and dense weights; both are
counted on the layers as built and tested against the papers. Errors are the papers', where + is with augmentation.
Where paper and layers differ, the model's file, `configs/model/NAME.yaml`, says so. `_cifar` is a form for 32×32 images
that the paper does not have. This page is printed by `python -m convzoo.models --markdown`."""


def lines():
    """For each network what `HEAD` says, as text."""
    from convzoo.models import names, plan
    from convzoo.models.zoo import paper

    for name in names():
        about, counts = paper(name), plan(name)
        errors = ", ".join(f"{error} {where}" for where, error in (about.get("error") or {}).items())
        image = "×".join(map(str, counts.image_shape))
        yield name, str(about["year"]), image, f"{counts.params:,}", f"{counts.macs:,}", errors, _titled(about)


def _titled(about):
    return f"[{about['title']}](https://arxiv.org/abs/{about['arxiv']})" if about.get("arxiv") else about["title"]


def table(found):
    """Those lines as a table for the screen, line by line."""
    yield COLUMNS.format(*HEAD)
    for *cells, title in found:
        yield COLUMNS.format(*cells, title.strip("[").partition("](")[0])


def page(found):
    """Those lines as the page, line by line."""
    yield from (PAGE, "", f"| {' | '.join(HEAD)} |", "|---|---:|---|---:|---:|---|---|")
    for name, *cells in found:
        yield " | ".join([f"| `{name}`", *cells]) + " |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m convzoo.models", description="Lists the networks.")
    parser.add_argument("--markdown", action="store_true", help="as the page docs/networks.md")
    form = page if parser.parse_args().markdown else table
    backend.start("float32")  # without the noise of its start
    try:
        for line in form(lines()):
            print(line, flush=True)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
