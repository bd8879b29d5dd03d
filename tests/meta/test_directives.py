"""Checks are turned off in one place, setup.py's table, and the debug build turns every one of them on again."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Directives that can take a check away, and the value with which they do not.
SAFE = {
    "boundscheck": True,
    "wraparound": True,
    "cdivision": False,
    "nonecheck": True,
    "initializedcheck": True,
}

#: Others that no source sets for itself.
OTHERS = ("overflowcheck", "language_level", "emit_code_comments", "profile", "linetrace", "binding", "infer_types")


def table(*, is_debug: bool) -> dict[str, object]:
    """DIRECTIVES of setup.py as one of the two builds gets it."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "DIRECTIVES"
    )
    assert value is not None
    return eval(compile(ast.Expression(value), "setup.py", "eval"), {"DEBUG": is_debug})


def test_the_debug_build_has_every_check():
    debug = table(is_debug=True)
    assert {name: debug[name] for name in SAFE} == SAFE


def test_the_table_is_what_the_release_build_goes_by():
    assert table(is_debug=False) != table(is_debug=True)


def overrides(source: str) -> list[str]:
    """The directives that a source sets for itself: in a header, by a decorator, or in a `with` block."""
    headers = re.findall(r"^[ \t]*#[ \t]*cython[ \t]*:.*", source, re.MULTILINE | re.IGNORECASE)
    return headers + re.findall(rf"\b(?:{'|'.join((*SAFE, *OTHERS))})\b[ \t]*\(", source)


def sources() -> list[Path]:
    """Every Cython file of the package; an installed wheel brings them along."""
    import cpapi_fast

    package = Path(cpapi_fast.__file__).parent
    return [path for path in sorted(package.rglob("*.p[yx]*")) if path.suffix in (".pyx", ".pxd")]


def test_no_source_overrides_the_table():
    assert len(sources()) >= 5
    assert {path.name: overrides(path.read_text(encoding="utf-8")) for path in sources()} == {
        path.name: [] for path in sources()
    }


@pytest.mark.parametrize(
    "source",
    [
        "# cython: boundscheck=False\n",
        "#cython:language_level=3, wraparound = False\n",
        "@cython.boundscheck(False)\ndef f(): pass\n",
        "with cython.wraparound (False):\n    pass\n",
        "from cython import cdivision\n@cdivision(True)\ndef f(): pass\n",
    ],
)
def test_an_override_is_noticed(source: str):
    assert overrides(source)
