"""Write the docstrings of the compiled modules into their stubs, where editors and type checkers read them.

Usage: python -m tests.meta.stub_docstrings

The .pyx sources have the docstrings, which `help()` shows. Only the docstrings of a stub are changed. test_stubs.py
fails while a stub differs from its source.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Final

import cpapi_fast

PACKAGE: Final = Path(cpapi_fast.__path__[0])

_HEADER: Final = re.compile(r"^( *)(cdef class|class|def|cpdef) +(?:\w+ +)?(\w+) *[(:]")
_DOCSTRING: Final = re.compile(r'"""(.*?)"""', re.DOTALL)

_Documented = ast.ClassDef | ast.FunctionDef


def docstrings(source: str) -> dict[str, str]:
    """The docstrings of a .pyx file: those of its classes, of their methods and properties, and of its functions.

    Returns:
        The texts as `inspect.cleandoc` leaves them, by name: `TickDecoder`, `TickDecoder.decode`, `classify`.
    """
    found: dict[str, str] = {}
    lines = source.splitlines()
    owner = ""
    for number, line in enumerate(lines):
        header = _HEADER.match(line)
        if header is None:
            continue
        indent, keyword, name = header.groups()
        if not indent:
            owner = name if keyword.endswith("class") else ""
        end = next(at for at in range(number, len(lines)) if lines[at].split("#")[0].rstrip().endswith(":"))
        text = "\n".join(lines[end + 1 :])
        docstring = _DOCSTRING.match(text.lstrip()) if text.lstrip().startswith('"""') else None
        if docstring is not None:
            found[name if not indent else f"{owner}.{name}"] = inspect.cleandoc(docstring[1])
    return found


def with_docstrings(stub: str, texts: dict[str, str]) -> str:
    """A stub with these docstrings, and with no others.

    Args:
        stub: the text of a .pyi file.
        texts: what `docstrings` returns for its .pyx file.
    """
    lines = stub.splitlines(keepends=True)
    edits: list[tuple[int, int, str]] = []
    for name, node in documentable(ast.parse(stub)):
        first = node.body[0]
        has_docstring = ast.get_docstring(node) is not None
        indent = " " * (node.col_offset + 4)
        text = _quoted(texts[name], indent) if name in texts else ""
        if isinstance(node, ast.ClassDef):
            start = first.lineno - 1 - (len(getattr(first, "decorator_list", ())))
            end = first.end_lineno or first.lineno
            if has_docstring:
                edits.append((start, end, text))
            elif text:
                edits.append((start, start, f"{text}\n"))
        else:
            header = _header(lines, node)
            edits.append((node.lineno - 1, first.end_lineno or 0, f"{header}\n{text}" if text else f"{header} ...\n"))
    for start, end, text in sorted(edits, reverse=True):
        lines[start:end] = [text]
    return "".join(lines)


def stubs() -> list[tuple[Path, Path]]:
    """Every compiled module of the package: its stub and its source."""
    return [(path.with_suffix(".pyi"), path) for path in sorted(PACKAGE.rglob("*.pyx"))]


def main() -> None:
    for stub, source in stubs():
        text = stub.read_text(encoding="utf-8")
        stub.write_text(with_docstrings(text, docstrings(source.read_text(encoding="utf-8"))), encoding="utf-8")


def documentable(tree: ast.Module) -> list[tuple[str, _Documented]]:
    """The classes, methods, properties and functions of a stub, by name."""
    found: list[tuple[str, _Documented]] = []
    for node in tree.body:
        if isinstance(node, _Documented):
            found.append((node.name, node))
        if isinstance(node, ast.ClassDef):
            found += [(f"{node.name}.{member.name}", member) for member in node.body if isinstance(member, _Documented)]
    return found


def _header(lines: list[str], node: ast.FunctionDef) -> str:
    # From `def` to the colon before the body.
    first = node.body[0]
    text = "".join(lines[node.lineno - 1 : first.lineno - 1])
    return (text + lines[first.lineno - 1][: first.col_offset]).rstrip()


def _quoted(text: str, indent: str) -> str:
    body = "\n".join(f"{indent}{line}" if line else "" for line in text.splitlines()).lstrip()
    return f'{indent}"""{body}\n{indent}"""\n' if "\n" in text else f'{indent}"""{body}"""\n'


if __name__ == "__main__":
    main()
