"""Imports the stub of each compiled module in place of the module, so that autodoc sees signatures and types."""

from __future__ import annotations
import __future__

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

_PACKAGE: Final = Path(__file__).parents[2] / "cpapi_fast"


class _StubLoader(importlib.machinery.SourceFileLoader):
    """Runs a stub as Python source; its annotations stay text, since stubs name classes before they define them."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        flags = __future__.annotations.compiler_flag
        code: CodeType = compile(data, path, "exec", flags, dont_inherit=True, optimize=_optimize)
        return code


class StubFinder:
    """Finds `cpapi_fast/a/b.pyi` for the module `cpapi_fast.a.b`, and nothing else."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module that has a stub; None for every other module."""
        package, _, rest = name.partition(".")
        stub = _PACKAGE / f"{rest.replace('.', '/')}.pyi"
        if package != _PACKAGE.name or not rest or not stub.exists():
            return None
        loader = _StubLoader(name, str(stub))
        return importlib.machinery.ModuleSpec(name, loader, origin=str(stub))


def install() -> None:
    """Let stubs be found before the compiled modules."""
    # A stub compiled to bytecode would lie in the package's __pycache__.
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, StubFinder)
