"""The layers of the package, read from the table in docs/architecture.md, and the imports of its sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import cpapi_fast

PACKAGE: Final = Path(cpapi_fast.__path__[0])
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "architecture.md"
SUFFIXES: Final = (".py", ".pyx", ".pxd")

_ROW = re.compile(r"^\| `([\w.]+)` \| (.+) \|$", re.MULTILINE)
# `from .x cimport y`, `from cpapi_fast.x import y`, `cimport cpapi_fast.x`
_CYTHON_FROM = re.compile(r"^\s*from\s+(\.*[\w.]*)\s+c?import\s+(\([^)]*\)|.*)$", re.MULTILINE)
_CYTHON_PLAIN = re.compile(r"^\s*c?import\s+(cpapi_fast[\w.]*)", re.MULTILINE)


def table() -> dict[str, str]:
    """Every row of the table, in order: the module's name without `cpapi_fast.`, and its purpose."""
    section = DOCUMENT.read_text(encoding="utf-8").split("\n## Layers\n")[1].split("\n## ")[0]
    return dict(_ROW.findall(section))


def name_of(path: Path) -> str:
    """A source file's module name without `cpapi_fast.`; a folder's `__init__` has the folder's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def sources() -> dict[str, list[Path]]:
    """The source files of each module: `a.py`, or `a.pyx` and `a.pxd`."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in SUFFIXES:
            found.setdefault(name_of(path), []).append(path)
    return found


def purpose(path: Path) -> str:
    """The first line of a source's docstring without its full stop, as the table shows it."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r'"""(.+?)(\.?)("""|\n)', text)
    return match[1] if match else ""


def imported_by(path: Path) -> set[str]:
    """The modules of the package that a file imports, in functions and for type checkers too."""
    text = path.read_text(encoding="utf-8")
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    found: set[tuple[str, tuple[str, ...]]] = set()

    def add(level: int, module: str, names: tuple[str, ...]) -> None:
        base = package[: len(package) - level + 1] if level else ()
        target = ".".join((*base, module)) if module else ".".join(base)
        if target.split(".")[0] == "cpapi_fast":
            found.add((target, names))

    if path.suffix != ".py":
        # The docstring at the top may show an import that users write.
        text = re.sub(r'\A""".*?"""', "", text, flags=re.DOTALL)
        for module, names in _CYTHON_FROM.findall(text):
            relative = module.lstrip(".")
            add(len(module) - len(relative), relative, tuple(re.findall(r"\w+", names)))
        for module in _CYTHON_PLAIN.findall(text):
            add(0, module, ())
    else:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    add(0, alias.name, ())
            elif isinstance(node, ast.ImportFrom):
                add(node.level, node.module or "", tuple(alias.name for alias in node.names))
    known = sources()
    imported = set()
    for target, names in found:
        module = target.removeprefix("cpapi_fast").lstrip(".")
        submodules = {f"{module}.{name}".lstrip(".") for name in names} & known.keys()
        imported |= submodules
        if not names or len(submodules) < len(names):
            imported.add(module or "__init__")
    # The empty `__init__` of a folder that it lies in is imported with any module.
    return imported - {name_of(path)}
