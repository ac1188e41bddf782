"""The list of all networks, and the page that is made of it."""

from pathlib import Path

import convzoo
from convzoo.models import names
from convzoo.models.__main__ import main


def test_the_list_has_a_line_for_every_network(capsys):
    main([])
    head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(names())
    (nin,) = (line for line in lines if line.startswith("nin "))
    assert nin.split()[1:5] == ["2013", "32×32×3", "966,986", "222,486,528"]
    assert nin.endswith("Network In Network")
    assert nin.index("10.41 cifar10") == head.index("published error")


def test_the_page_is_the_one_that_is_printed(capsys):
    main(["--markdown"])
    assert capsys.readouterr().out == (Path(convzoo.__file__).parent / "docs" / "networks.md").read_text()
