"""Imports the stub of each compiled module in place of the module, so that autodoc sees signatures and types."""

from __future__ import annotations
import __future__

import ast
import importlib.machinery
import importlib.util
import json
import subprocess
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
        tree = ast.parse(data)
        for node in ast.walk(tree):
            # Modules call such functions while they are imported.
            if isinstance(node, ast.FunctionDef) and node.returns and ast.unparse(node.returns).startswith("dict["):
                node.body.append(ast.Return(ast.Dict([], [])))
        code: CodeType = compile(
            ast.fix_missing_locations(tree), path, "exec", flags, dont_inherit=True, optimize=_optimize
        )
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
        return importlib.util.spec_from_file_location(name, stub, loader=_StubLoader(name, str(stub)))


def install() -> None:
    """Let stubs be found before the compiled modules."""
    # A stub compiled to bytecode would lie in the package's __pycache__.
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, StubFinder)


#: Prints {module: {name or Class.member: docstring}} of the compiled modules that have a stub.
_DUMP: Final = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    texts = found[name] = {}
    for key, value in vars(importlib.import_module(name)).items():
        if getattr(value, "__module__", None) == name and getattr(value, "__doc__", None):
            texts[key] = value.__doc__
        if isinstance(value, type) and value.__module__ == name:
            for member, thing in vars(value).items():
                thing = thing.__func__ if isinstance(thing, classmethod) else thing
                if not member.startswith("_") and isinstance(getattr(thing, "__doc__", None), str):
                    texts[f"{key}.{member}"] = thing.__doc__
print(json.dumps(found))
"""


def copy_docstrings() -> None:
    """Give the imported stubs the docstrings of the compiled modules, which a stub need not repeat."""
    loaded = [name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).endswith(".pyi")]
    done = subprocess.run(
        [sys.executable, "-c", _DUMP, *loaded], cwd=_PACKAGE.parent, capture_output=True, text=True, check=True
    )
    for module, texts in json.loads(done.stdout).items():
        for path, text in texts.items():
            name, _, member = path.partition(".")
            owner = getattr(sys.modules[module], name, None)
            target = vars(owner).get(member) if owner is not None and member else owner
            target = getattr(target, "__func__", target)
            if target is not None and not isinstance(target, (int, str)):
                target.__doc__ = text
