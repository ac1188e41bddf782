"""Judges what pip-audit wrote: `python tests/audit.py FILE.json`. Exit code 1 if a locked version is known weak."""

import json
import sys
from pathlib import Path


def judge(path):
    """(sentence, whether it may pass) of pip-audit's JSON file; one that is not there could not be made."""
    if not path.exists():
        return "vulnerabilities could not be looked up: no answer", True
    every = json.loads(path.read_text())["dependencies"]
    known = [f"{each['name']} {each['version']}: {weak['id']}" for each in every for weak in each.get("vulns", [])]
    unknown = sum("skip_reason" in each for each in every)
    if known:
        return f"{len(known)} known vulnerabilities: {', '.join(known)}", False
    if unknown == len(every):
        return "vulnerabilities could not be looked up: nothing is known of any of the packages", True
    left = f"; {unknown} could not be looked up" if unknown else ""
    return f"no known vulnerability in {len(every) - unknown} packages{left}", True


if __name__ == "__main__":
    said, passes = judge(Path(sys.argv[1]))
    print(said)
    sys.exit(not passes)
