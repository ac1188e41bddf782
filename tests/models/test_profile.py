"""`python -m convzoo.models profile NAME`."""

import sys

import pytest

from convzoo.cli import list_networks


@pytest.fixture
def command(monkeypatch, capsys):
    """Call the command with words; returns its exit code and what it printed on both streams."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["models", *words])
        try:
            list_networks.run_command()
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return run


def test_profile_prints_latency_beside_macs(command):
    code, out, _ = command("profile", "lenet", "image_shape=[32,32,3]", "--batch-sizes", "2", "5", "--seconds", "0.01")
    assert code == 0
    head, names, *rows = out.splitlines()[-4:]
    # 5·5·3·6 multiplications at 28×28, 5·5·6·16 at 10×10, and 400·120 + 120·84 + 84·10
    macs = 450 * 784 + 2400 * 100 + 400 * 120 + 120 * 84 + 840
    assert f"{macs:,} MACs an image" in head
    assert names.split() == ["batch", "median,", "ms", "p95,", "ms", "images/s", "GMACs/s", "calls"]
    for size, row in zip((2, 5), rows, strict=True):
        batch, median, p95, rate, speed, calls = (float(cell.replace(",", "")) for cell in row.split())
        assert batch == size
        assert 0 < median <= p95
        assert rate == pytest.approx(1000 * size / median, rel=0.1)  # of the rounded median
        assert speed == pytest.approx(rate * macs / 1e9, abs=0.02)
        assert calls >= 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lennet"], "there is no network 'lennet'; did you mean lenet"),
        (["lenet", "colour=red"], "`colour` is not an argument of a network"),
        (["lenet", "stride=["], "`stride` has a value that cannot be read. Received: stride=["),
        (["lenet", "--batch-sizes", "0"], "`--batch-sizes` must be positive integers. Received: 0"),
        (["lenet", "--seconds", "0"], "`--seconds` must be above 0. Received: 0"),
    ],
)
def test_profile_mistakes_are_one_line(command, words, message):
    code, _, err = command("profile", *words)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
