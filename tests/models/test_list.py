"""The list of all networks, and the page that is made of it."""

from pathlib import Path

import pytest

import convzoo
from convzoo.models import names
from convzoo.models.__main__ import lines, page, table


@pytest.fixture(scope="module")
def found():
    return list(lines())


def test_the_list_has_a_line_for_every_network(found):
    head, *rest = table(found)
    assert [line.split()[0] for line in rest] == list(names())
    (nin,) = (line for line in rest if line.startswith("nin "))
    assert nin.split()[1:5] == ["2013", "32×32×3", "966,986", "222,486,528"]
    assert nin.endswith("Network In Network")
    assert nin.index("10.41 cifar10") == head.index("published error")


def test_the_page_is_the_one_that_is_printed(found):
    assert "\n".join(page(found)) + "\n" == (Path(convzoo.__file__).parent / "docs" / "networks.md").read_text()
