"""Simulated studies with looks after every seed, and the recorded results."""

import json
from pathlib import Path

import pytest

from convzoo.benchmarks import sequential

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 34), (0.8, 15), (1.0, 10)])
def test_fixed_seeds_are_those_of_power_tables(effect, seeds):
    """G*Power's numbers for a paired t-test, two-sided, at 5 % and with a power of 80 %."""
    assert sequential.count_fixed_seeds(effect) == seeds


@pytest.mark.slow
def test_ten_thousand_null_studies_declare_five_percent():
    """Differences that are not normal may exceed it: the recorded results say which."""
    rates = {name: sequential.simulate_false_declarations(name) for name in sequential.DISTRIBUTIONS}
    assert rates["normal"].anytime <= 0.05
    assert rates["normal"].student_looks > 0.2
    assert rates["normal"].student_once == pytest.approx(0.05, abs=0.007)  # three standard deviations
    recorded = json.loads(sequential.RESULTS.read_text())["false_declarations"]
    assert {each["differences"]: each["anytime"] for each in recorded} == pytest.approx(
        {name: rate.anytime for name, rate in rates.items()}, abs=0.01
    )
    failing = {name for name, rate in rates.items() if rate.anytime > 0.05}
    assert failing == {each["differences"] for each in recorded if each["anytime"] > 0.05}


def test_page_shows_the_recorded_numbers():
    content = json.loads(sequential.RESULTS.read_text())
    rates = [sequential.FalseDeclarations(**each) for each in content["false_declarations"]]
    seeds = {name: sequential.SeedsNeeded(**each) for name, each in content["seeds"].items()}
    assert (content["studies"], content["confidence"]) == (10_000, 0.95)
    assert sequential.format_tables(rates, seeds) in (ROOT / "docs" / "sequential.md").read_text()


def test_benchmark_writes_its_results(tmp_path, capsys):
    sequential.main(["--studies", "50", "--output", str(tmp_path / "out.json")])
    content = json.loads((tmp_path / "out.json").read_text())
    assert [each["differences"] for each in content["false_declarations"]] == list(sequential.DISTRIBUTIONS)
    assert all(0 <= each["anytime"] <= 1 for each in content["false_declarations"])
    assert capsys.readouterr().out.startswith("| differences without a mean |")
