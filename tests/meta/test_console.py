"""The package writes to stdout and stderr in one way only, which makes every text printable."""

from __future__ import annotations

import ast

from tests.meta.layers import PACKAGE, sources

#: Where the streams themselves are used: the one way, and screens, which draw on a stream that they get.
USERS = {"console"}


def writes(tree: ast.AST) -> list[int]:
    """The lines that call `print`, or `write` or `writelines` of `sys.stdout` or `sys.stderr`."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "print" or called in {
            f"sys.{stream}.{method}" for stream in ("stdout", "stderr") for method in ("write", "writelines")
        }:
            found.append(node.lineno)
    return found


def test_nothing_is_printed_past_the_console() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: use `say` or `tell` of cpapi_fast.console"
        for module, paths in sources().items()
        for path in paths
        if path.suffix == ".py" and module not in USERS
        for line in writes(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert wrong == []


def test_writes_are_found_at_all() -> None:
    tree = ast.parse("import sys\nprint('x')\nsys.stdout.write('x')\nsys.stderr.writelines([])\nfile.write('x')")
    assert writes(tree) == [2, 3, 4]
