"""This tree computes what the last commit of the first edition computed."""

from pathlib import Path

import pytest
from compare import CHECKS, Sides, run_check
from sampling import rarely


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    folder: Path = tmp_path_factory.mktemp("sides")
    try:
        return Sides.check_out(folder)
    except LookupError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@rarely
@pytest.mark.parametrize("part", CHECKS)
def test_tree_equals_the_old_commit(sides, part):
    comparison = run_check(part, sides, is_sample=False)
    print(comparison)
    assert not comparison.differences, comparison
