"""Links of the pages lead somewhere, and their commands name what exists."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
# Names in examples, of a reader's own files.
READERS_OWN = {"model=net", "model=my_net", "pooling=my", "data=my_set", "study=mine", "study=my_study"}


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    slugs, seen = set(), Counter()
    for heading in re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        slugs.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return slugs


def broken_links(page: Path) -> list[str]:
    """The relative links of a page whose file or heading does not exist."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"\w+:", link):  # the web
            continue
        path, _, anchor = link.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_relative_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


def test_broken_links_names_a_missing_file_and_heading(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A b, c\n[x](gone.md) [y](#a-b-c) [z](page.md#none) [web](https://x.org)\n```\n[code](gone)\n```\n"
    )
    assert broken_links(page) == ["gone.md", "page.md#none"]


def missing_code(text: str) -> list[str]:
    """The files and modules of convzoo that a page names and that do not exist."""
    files = re.findall(r"`([a-z_]+/[\w/]+\.py)`", text)
    modules = [name.replace(".", "/") for name in re.findall(r"`(?:python -m )?convzoo((?:\.[a-z_]+)+)`", text)]
    paths = [ROOT / name for name in files if not name.rpartition("/")[2].startswith("my_")]
    missing = [path.relative_to(ROOT).as_posix() for path in paths if not path.exists()]
    for name in (name.strip("/") for name in modules):
        module = ROOT / name
        parent = module.parent  # the name may be a function's
        if not any(path.exists() for path in (module, module.with_suffix(".py"), parent / "__init__.py")):
            missing.append(name)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_code_that_a_page_names_exists(page: Path) -> None:
    assert missing_code(page.read_text()) == []


def test_missing_code_names_a_file_and_a_module_that_moved() -> None:
    text = "`models/axes.py` `models/gone.py` `convzoo.gone.module` `python -m convzoo.models` `layers/my_layer.py`"
    assert missing_code(text) == ["models/gone.py", "gone/module"]


def test_index_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w.]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_images_of_the_docs_are_used_and_small() -> None:
    files = {path for suffix in ("gif", "png", "svg") for path in (ROOT / "docs").rglob(f"*.{suffix}")}
    links = {(page, link) for page in PAGES for link in re.findall(r"\(([^)]+\.(?:gif|png|svg))\)", page.read_text())}
    shown = {(page.parent / link).resolve() for page, link in links}
    assert files == shown
    assert all(file.stat().st_size < 150_000 for file in files)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_name_configs_that_exist(page: Path) -> None:
    settings = {
        (key, value)
        for key, values in re.findall(r"\b(model|data|recipe|pooling|launcher|study)=([a-z][\w,]*)", page.read_text())
        for value in values.rstrip(",").split(",")
        if f"{key}={value}" not in READERS_OWN
    }
    folders = {"study": "studies"}
    files = {f"{folders.get(key, key)}/{value}.yaml" for key, value in settings}
    assert {file for file in files if not (ROOT / "configs" / file).exists()} == set()


def test_studies_page_lists_every_study() -> None:
    text = (ROOT / "docs" / "studies.md").read_text().partition("## A study of your own")[0]
    names = {path.stem for path in (ROOT / "configs" / "studies").glob("*.yaml")}
    listed = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    full = {f"{name}_full" for name in re.findall(r"^\| `(\w+)` \|.*\| yes \|$", text, re.MULTILINE)}
    assert listed <= names
    assert {name for name in names if name.endswith("_full")} == full
    assert all(f"`{name}`" in text for name in names - full)
