"""Names in the code: no participles that say nothing of a value, and types on every function outside `layers/`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = "benchmarks cli data evaluation experiments layers models reporting settings tracking training".split()
BANNED = set(
    "found told said made kept held begun beside taken waited beaten seen asked looking settle come reach".split()
)
BANNED_STARTS = {"How", "Of", "What", "Where", "Whether", "Which", "Why"}  # of a docstring
BANNED_FUNCTIONS = {"of", "look", "here"}  # of a module
FILES = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]


def names(node: ast.AST) -> Iterator[str]:
    """Yield the identifiers that a node of a syntax tree binds or uses."""
    match node:
        case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name, asname=alias):
            yield alias or name


def riddles(tree: ast.Module) -> list[str]:
    """List the docstrings that begin with a relative clause instead of a noun or a verb, with their lines."""
    nodes = [
        node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
    ]
    texts = [(getattr(node, "lineno", 1), ast.get_docstring(node) or "") for node in nodes]
    return [f"{line}: {text[:40]}" for line, text in texts if text.partition(" ")[0] in BANNED_STARTS]


def banned_names(tree: ast.Module) -> list[str]:
    """List the banned identifiers of a file, with their lines."""
    uses = [
        f"{getattr(node, 'lineno', 0)}: {name}"
        for node in ast.walk(tree)
        for name in names(node)
        if name.strip("_") in BANNED
    ]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in BANNED_FUNCTIONS]
    return uses + [f"{node.lineno}: {node.name}" for node in functions]


def untyped_functions(tree: ast.Module) -> list[str]:
    """List the functions of a file that lack the type of an argument or of their result, with their lines."""
    untyped = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        has_types = all(each.annotation or each.arg in ("self", "cls") for each in arguments)
        if not has_types or (node.returns is None and node.name != "__init__"):
            untyped.append(f"{node.lineno}: {node.name}")
    return untyped


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_files_have_no_banned_names(room: str) -> None:
    files = [path for path in FILES if path.relative_to(ROOT).parent.as_posix().partition("/")[0] == (room or ".")]
    assert files
    found_names = {path.name: banned_names(ast.parse(path.read_text())) for path in files}
    assert {name: uses for name, uses in found_names.items() if uses} == {}


@pytest.mark.parametrize("room", ["", *(room for room in ROOMS if room != "layers")])
def test_functions_outside_layers_are_typed(room: str) -> None:
    files = [path for path in FILES if path.relative_to(ROOT).parent.as_posix().partition("/")[0] == (room or ".")]
    untyped = {path.name: untyped_functions(ast.parse(path.read_text())) for path in files}
    assert {name: functions for name, functions in untyped.items() if functions} == {}


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_docstrings_begin_with_a_noun_or_a_verb(room: str) -> None:
    files = [path for path in FILES if path.relative_to(ROOT).parent.as_posix().partition("/")[0] == (room or ".")]
    texts = {path.name: riddles(ast.parse(path.read_text())) for path in files}
    assert {name: lines for name, lines in texts.items() if lines} == {}


def test_riddles_finds_a_relative_clause() -> None:
    code = '"""What it is."""\ndef f():\n    """Return it."""\n    def g():\n        """Whether it is."""\n'
    assert [text.partition(": ")[2] for text in riddles(ast.parse(code))] == ["What it is.", "Whether it is."]


def test_banned_names_finds_each_kind_of_use() -> None:
    code = (
        "import a as told\ndef f(kept):\n    x.made = g(seen=1)\n    return found\nclass _Held: pass\ndef of(): pass\n"
    )
    uses = banned_names(ast.parse(code))
    assert sorted(use.partition(": ")[2] for use in uses) == ["found", "kept", "made", "of", "seen", "told"]


def test_untyped_functions_finds_arguments_and_results() -> None:
    code = (
        "def a(x): pass\ndef b(x: int): pass\ndef c(x) -> int: pass\nclass A:\n    def __init__(self, x: int): pass\n"
    )
    assert [name.partition(": ")[2] for name in untyped_functions(ast.parse(code))] == ["a", "b", "c"]


def test_names_of_tests_have_at_most_60_characters() -> None:
    trees = {path.name: ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")}
    nodes = [(file, node) for file, tree in trees.items() for node in ast.walk(tree)]
    tests = [(file, node.name) for file, node in nodes if isinstance(node, ast.FunctionDef)]
    assert [(file, name) for file, name in tests if name.startswith("test_") and len(name) > 60] == []
