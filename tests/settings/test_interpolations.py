from itertools import product

import pytest
from omegaconf import OmegaConf

from convzoo.settings import untrusted_yaml
from convzoo.settings.text import has_only_text, printable, without_interpolations

TEXTS = ["".join(letters) for length in range(5) for letters in product("$\\{}a:", repeat=length)]
TEXTS += ["${oc.env:HOME}", "${", "${x", r"\${x}", r"\\${x}", "$${x}", "a${b}c${", "${a:${b}}"]


def test_text_with_interpolations_comes_back_as_it_was():
    node = OmegaConf.create({"names": [], "one": {}})
    node.update(without_interpolations({"names": TEXTS, "one": {"two": ("${x}", 1, None)}}))
    plain = OmegaConf.to_container(node, resolve=True)
    assert plain == {"names": TEXTS, "one": {"two": ["${x}", 1, None]}}


def test_config_file_keeps_text_with_interpolations(tmp_path):
    """A run's config is written by train.py and read by evaluate.py."""
    settings = {"data": {"class_names": [text for text in TEXTS if text], "validation": 1e-3, "directory": None}}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(without_interpolations(settings), resolve=True))
    assert untrusted_yaml.read(tmp_path / "config.yaml") == settings


@pytest.mark.parametrize("text", ["می‌خواهم", "क्‍ष", "👩‍🔬", "山\u3000川", "a\u00a0b", "café", "cafe\u0301"])
def test_text_of_any_script_is_printed_as_it_is(text):
    assert has_only_text(text)
    assert printable(text) == text


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x9b", "\u202e", "\u2028", "caf\udce9", "\x7f", "\u2066"])
def test_text_that_a_terminal_could_obey_is_escaped(text):
    assert not has_only_text(text)
    assert printable(text).isprintable()
