"""Links of README and docs/ lead somewhere: files and headings are looked up, other addresses are only well formed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import cpapi_fast
from tests.docs.pages import PAGES, ROOT, name_of

REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
PREFIXES = tuple(f"{REPOSITORY}/{kind}/main/" for kind in ("blob", "tree", "raw"))

#: What is there in a copy outside the checkout too.
COPIED = ("tests/", "benchmarks/", "docs/", "examples/", "README.md", "CHANGELOG.md", "pyproject.toml", "setup.py")
IS_CHECKOUT = (ROOT / "Makefile").exists()

_INLINE = re.compile(r"\]\(([^)\s]+)\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]: *(\S+)$", re.MULTILINE)
_USED = re.compile(r"\[[^\]\n]+\]\[([^\]\n]+)\]")


def prose(page: Path) -> str:
    """A page without its fenced blocks and its code spans."""
    text = re.sub(r"(?ms)^ *(`{3,}).*?^ *\1 *$", "", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", "CODE", text)


def targets(page: Path) -> list[str]:
    text = prose(page)
    return [*_INLINE.findall(text), *_REFERENCE.findall(text)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"(?ms)^ *(`{3,}).*?^ *\1 *$", "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#{1,3} +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_in_repository(path: str) -> bool:
    if path.startswith("cpapi_fast/"):
        return (Path(cpapi_fast.__path__[0]).parent / path).exists()
    if IS_CHECKOUT or path.startswith(COPIED):
        return (ROOT / path).exists()
    return True


LINKS = [(page, target) for page in PAGES for target in targets(page)]


@pytest.mark.parametrize(("page", "target"), LINKS, ids=[f"{name_of(page)}-{target}" for page, target in LINKS])
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    if target.startswith("repo:"):
        assert page.is_relative_to(ROOT / "docs"), "only the documentation site knows repo: links"
        assert is_in_repository(path.removeprefix("repo:"))
    elif target.startswith(PREFIXES):
        assert is_in_repository(path.split("/main/", 1)[1])
    elif "://" in target:
        address = urlsplit(target)
        assert address.scheme == "https"
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", address.netloc)
    else:
        file = (page.parent / path).resolve() if path else page
        if file.is_relative_to(ROOT):
            assert is_in_repository(file.relative_to(ROOT).as_posix()), f"no file {path}"
        if anchor and file.suffix == ".md" and file.exists():
            assert anchor in anchors(file), f"no heading #{anchor} in {name_of(file)}"


def test_links_of_the_readme_work_on_a_package_index() -> None:
    assert [target for target in targets(ROOT / "README.md") if not target.startswith(("https://", "#"))] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_reference_is_defined(page: Path) -> None:
    text = prose(page)
    defined = set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))
    assert set(_USED.findall(text)) <= defined
