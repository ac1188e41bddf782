"""The words of a command line: what is typed arrives, and other programs' words get the right one."""

import doctest
import os

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from convzoo import UserError
from convzoo.settings import overrides, rules
from convzoo.settings.overrides import (
    check_words,
    list_store_overrides,
    move_passwords_to_environment,
    quote,
    quote_text,
)

KEYS = [
    "learning_rate",
    "epochs",
    "model",
    "data",
    "batch_size",
    "recipe.optimizer.momentum",
    "tracking.uri",
    "plan",
    "optimizer",
]


def arrives(word):
    """What Hydra and OmegaConf make of a word's value."""
    value = OverridesParser.create().parse_override(word).value()
    return OmegaConf.to_container(OmegaConf.create({"value": value}), resolve=True)["value"]


@pytest.mark.parametrize("module", [rules, overrides])
def test_docstrings_show_what_functions_return(module):
    assert doctest.testmod(module).failed == 0


LETTERS = st.one_of(st.sampled_from("ab ${}\\'\"=,()[]:#&?!~*%"), st.characters(exclude_categories=["Cs", "Cc"]))


@settings(max_examples=200, deadline=None)
@given(st.text(LETTERS, max_size=12))
def test_quote_gives_the_text_back_for_any_text(text):
    assert arrives(f"image={quote(text)}") == text


NAMES = [
    "IMG (1).jpg",
    "a=b/pets",
    "кошки и собаки",
    "猫.png",
    "cat&dog.jpg",
    "#1.jpg",
    "cat, dog.jpg",
    "[1].jpg",
    "[a,b]",
    "{a: 1}",
    "it's.png",
    'say "x".png',
    "a(b",
    "~x!.png",
    "2024",
    "1e5",
    "007",
    "true",
    "glob(*)",
    "choice(a,b)",
    "range(3)",
    "nan",
    "x;y|z.png",
    "100%.png",
    "@home.png",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["image", "+image"])
def test_quote_text_lets_any_name_arrive(key, name):
    (word,) = quote_text([f"{key}={name}"])
    assert arrives(word) == name


@pytest.mark.parametrize("key", ["data.directory", "study", "register", "run", "tracking.uri", "checkpoints.directory"])
@pytest.mark.parametrize("name", ["опыт (2)", "2024", "a=b"])
def test_quote_text_covers_each_text_key(key, name):
    assert arrives(quote_text([f"{key}={name}"])[0]) == name


@pytest.mark.parametrize(
    "word",
    [
        "image=cat.png",
        "image=null",
        "image=",
        "image='IMG (1).jpg'",
        'study="a,b"',
        "study=a,b",  # Hydra says that a sweep needs -m
        "study=[a,b]",  # studies to compare
        "study=${model.name}",
        "plan=true",
        "plan=json",
        "seed=1,2",
        "pooling=max",
        "epochs=3",
        "~image",
        "--help",
    ],
)
def test_quote_text_leaves_what_hydra_reads(word):
    assert quote_text([word]) == [word]


def test_quote_text_takes_what_is_there_by_its_letters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a,b", "${oc.env:HOME}", "'x'", "plan,1.png"):
        (tmp_path / name).mkdir()
        key = "plan" if name.endswith(".png") else "data.directory"
        assert arrives(quote_text([f"{key}={name}"])[0]) == name


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("study=a,b", ["a", "b"]),
        ("study=2024,2025", ["2024", "2025"]),
        ("data.directory=/x/кошки, /x/a=b", ["/x/кошки", "/x/a=b"]),
        ("study='a b','c,d'", ["a b", "c,d"]),
        ("study=choice(a,b)", ["a", "b"]),
    ],
)
def test_quote_text_keeps_the_values_of_a_sweep_apart(word, values):
    _, word = quote_text(["-m", word])
    swept = OverridesParser.create().parse_override(word).sweep_string_iterator()
    assert [arrives(f"key={value}") for value in swept] == values


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        ("--epochs 3", "write epochs=3"),
        ("--epochs=3", "write epochs=3"),
        ("--model lenet", "write model=lenet"),
        ("-e 3", "write epochs=3"),
        ("--lr", "write learning_rate=…"),
        ("-lr 0.1", "write learning_rate=0.1"),
        ("--batch-size 8", "write batch_size=8"),
        ("-m --dataset digits", "write data=digits"),
        ("--momentum 0.9", "write recipe.optimizer.momentum=0.9"),
        ("--optimizer adam", "write optimizer=adam"),
        ("--gpu 0", "CUDA_VISIBLE_DEVICES"),
        ("--epochz 3", "did you mean epochs"),
        ("--foo", "valid keys: batch_size, data"),
        ("learning-rate=0.1", "did you mean learning_rate=0.1?"),
        ("--cfg nothing", "--cfg"),
        ("--config-dir", "--config-dir"),
        ("--experimental-rerun=x", "pickle"),
        ("=3", "key=value"),
        (f"epochs={'[' * 900}", "`epochs` must not nest deeper"),
        (f"+model.x={'{a:' * 900}", "`model.x` must not nest deeper"),
        ("hydra.verbose=nan", "`hydra.verbose`"),
        ("hydra.verbose=[nan]", "`hydra.verbose`"),
        ("hydra.verbose={a:1}", "`hydra.verbose`"),
    ],
)
def test_check_words_says_the_right_word(typed, right):
    with pytest.raises(UserError) as raised:
        check_words(typed.split(), lambda: KEYS)
    assert right in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "typed", ["-m seed=1,2", "--multirun seed=1", "--help", "-c job", "--cfg=job", "--config-dir x -m a=1", "-cd x"]
)
def test_check_words_lets_hydras_options_pass(typed):
    assert check_words(typed.split(), lambda: KEYS) == typed.split()


def test_check_words_puts_options_first():
    typed = "seed=1,2 -m model=lenet --config-dir mine epochs=1 --cfg=job"
    wanted = "-m --config-dir mine --cfg=job seed=1,2 model=lenet epochs=1"
    assert check_words(typed.split(), lambda: KEYS) == wanted.split()


@pytest.mark.parametrize(
    ("key", "value", "explanation"),
    [
        ("lr", "0.1", "did you mean learning_rate=0.1?"),
        ("bs", "8", "did you mean batch_size=8?"),
        ("batch", None, "did you mean batch_size?"),
        ("Epochs", "2", "did you mean epochs=2?"),
        ("recipe.optimizer.momentun", "1", "did you mean recipe.optimizer.momentum=1?"),
        ("recipe.sizes", "[1]", "it is recipe.image_scales now"),
        ("recipe.optimizer.foo", "1", "valid keys: recipe.optimizer.momentum"),
        ("gpu", "0", "a GPU is used"),
        ("foo", "1", "valid keys: batch_size, data, epochs"),
    ],
)
def test_explain_unknown_key_names_what_was_meant(key, value, explanation):
    assert rules.explain_unknown_key(key, KEYS, value).startswith(explanation)


@pytest.mark.parametrize(
    ("typed", "found"),
    [([], ['tracking.uri="sqlite:///team.db"']), (["tracking.uri=x"], []), (["+tracking.uri=x"], [])],
)
def test_find_store_takes_mlflows_variable_unless_typed(monkeypatch, typed, found):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///team.db")
    assert list_store_overrides(typed) == found
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert list_store_overrides(typed) == []


@pytest.fixture
def no_password(monkeypatch):
    for part in ("USERNAME", "PASSWORD", "URI"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{part}", "")  # so that what is set is undone


@pytest.mark.usefixtures("no_password")
@pytest.mark.parametrize("form", ["tracking.uri={}", "+tracking.uri={}", 'tracking.uri="{}"'])
def test_take_passwords_moves_them_to_the_environment(form):
    (word,) = move_passwords_to_environment([form.format("http://me:s%40cret@host:5000")])
    assert word == form.format("http://host:5000")
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "me"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s@cret"


@pytest.mark.usefixtures("no_password")
def test_find_store_takes_the_password_of_mlflows_variable(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@host")
    assert list_store_overrides([]) == ['tracking.uri="https://host"']
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "secret"
    assert "secret" not in os.environ["MLFLOW_TRACKING_URI"]


@pytest.mark.usefixtures("no_password")
@pytest.mark.parametrize(
    "word", ["tracking.uri=http://host:5000", "study=http://me:secret@host", "tracking.uri=sqlite:///a"]
)
def test_take_passwords_leaves_other_words(word):
    assert move_passwords_to_environment([word]) == [word]
