"""`python -m convzoo.tracking` lists what waits in `spool/` here; with a store's address it first delivers."""

import sys

from convzoo import UserError
from convzoo.settings.text import printable, without_password
from convzoo.tracking.outbox import journal, worker


def main(words: list[str]) -> int:
    """Lists what waits.

    Args:
        words: the address of a store, `sqlite:///file` or `http://host`, or nothing. What waits for another store is
            not delivered: the spool may be a stranger's, and so the addresses in it.

    Returns:
        0 where nothing waits for any store, else 2.
    """
    try:
        for uri in words:
            worker.flush_pending(uri)
    except UserError as error:
        print(f"error: {printable(without_password(str(error)))}", file=sys.stderr)
    worker.warn_unreadable()
    waiting = journal.pending_journals()
    for each in waiting:
        line = f"{each.relative_folder}: {each.begin['name']}, {each.pending_count} records for {each.begin['uri']}"
        print(printable(without_password(line)))
    if waiting or journal.unreadable_folders():
        return 2
    print(f"nothing waits in {journal.SPOOL}/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
