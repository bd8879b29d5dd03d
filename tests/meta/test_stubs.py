"""The compiled modules are documented: `help()` and the stubs have the same text, from the .pyx sources."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from tests.meta import stub_docstrings
from tests.meta.layers import name_of

#: Names that need no docstring: constructors (their class has it), the methods of descriptors, and attributes that
#: the class documents.
UNDOCUMENTED = {
    "__init__",
    *("__get__", "__set__"),
    *("transport", "counters", "frames_received", "bytes_received", "reads", "malformed", "pings", "pongs"),
    *("fragments", "frames_after_end", "frames_sunk"),
    *("position", "received_ns", "left_out"),
}

MODULES = {name_of(source): (stub, source) for stub, source in stub_docstrings.stubs()}


def texts_of(source: Path) -> dict[str, str]:
    return stub_docstrings.docstrings(source.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", MODULES)
def test_a_stub_has_the_docstrings_of_its_source(module: str):
    stub, source = MODULES[module]
    text = stub.read_text(encoding="utf-8")
    assert stub_docstrings.with_docstrings(text, texts_of(source)) == text, "run `python -m tests.meta.stub_docstrings`"


@pytest.mark.parametrize("module", MODULES)
def test_help_shows_the_docstrings(module: str):
    compiled = importlib.import_module(f"cpapi_fast.{module}")
    for name, text in texts_of(MODULES[module][1]).items():
        found = compiled
        for part in name.split("."):
            found = getattr(found, part)
        assert inspect.cleandoc(found.__doc__ or "") == text, name


@pytest.mark.parametrize("module", MODULES)
def test_every_name_of_a_stub_is_documented(module: str):
    stub, source = MODULES[module]
    names = [name for name, _ in stub_docstrings.documentable(ast.parse(stub.read_text(encoding="utf-8")))]
    texts = texts_of(source)
    missing = [name for name in names if name not in texts and name.split(".")[-1] not in UNDOCUMENTED]
    assert missing == []


SOURCE = '''
cdef class Pair:
    """Two things."""

    cdef int _first

    def __init__(self, int first, *, bint swap=False):
        self._first = first

    @property
    def first(self):
        """The first.

        It has a second line.
        """
        return self._first

    cdef int hidden(self) except -1:
        return 0

    def second(
        self,
        value,  # anything
    ):
        """The second."""


def pair(value):
    """Make a pair."""
'''

STUB = '''from typing import final

@final
class Pair:
    def __init__(self, first: int, *, swap: bool = False) -> None:
        """Not in the source."""
    @property
    def first(self) -> int: ...
    def second(
        self,
        value: object,
    ) -> None:
        """Old text."""

def pair(value: object) -> Pair: ...
'''

WRITTEN = '''from typing import final

@final
class Pair:
    """Two things."""

    def __init__(self, first: int, *, swap: bool = False) -> None: ...
    @property
    def first(self) -> int:
        """The first.

        It has a second line.
        """
    def second(
        self,
        value: object,
    ) -> None:
        """The second."""

def pair(value: object) -> Pair:
    """Make a pair."""
'''


def test_docstrings_are_written_into_a_stub():
    texts = stub_docstrings.docstrings(SOURCE)
    assert list(texts) == ["Pair", "Pair.first", "Pair.second", "pair"]
    assert stub_docstrings.with_docstrings(STUB, texts) == WRITTEN
    assert stub_docstrings.with_docstrings(WRITTEN, texts) == WRITTEN
