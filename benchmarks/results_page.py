"""Write `docs/results.md` and its plots from the tables in `results/`: `python -m convzoo.benchmarks.results_page`.

The same tables give the same bytes. A row without its run ID, its seed or its code version is refused.
"""

import argparse
from pathlib import Path

from .. import UserError
from ..reporting.accuracy_page import render_results
from ..reporting.accuracy_table import FOLDER

DOCS = Path(__file__).parents[1] / "docs"


def write_results(tables: Path = FOLDER, docs: Path = DOCS) -> list[Path]:
    """Write the page and its plots, and remove the plots of tables that do not exist any more.

    Args:
        tables: the folder of the tables.
        docs: the folder of the page.

    Returns:
        The paths of the files.

    Raises:
        UserError: a table cannot be read, or a row lacks something.
    """
    files = render_results(tables)
    for old in docs.glob("results_*.svg"):
        if old.name not in files:
            old.unlink()
    for name, text in files.items():
        (docs / name).write_text(text)
    return [docs / name for name in files]


def list_outdated(tables: Path = FOLDER, docs: Path = DOCS) -> list[str]:
    """Return the names of the files that are not as `write_results` would write them."""
    files = render_results(tables)
    present = {
        path.name: path.read_text() for path in [*docs.glob("results_*.svg"), docs / "results.md"] if path.exists()
    }
    return sorted(name for name in {*files, *present} if files.get(name) != present.get(name))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m convzoo.benchmarks.results_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not up to date")
    arguments = parser.parse_args()
    try:
        if not arguments.check:
            print(*write_results(), sep="\n")
        elif outdated := list_outdated():
            parser.error(f"not up to date: {', '.join(outdated)}; run the command without --check")
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
