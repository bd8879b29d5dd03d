"""No cycles by construction: a module imports only what stands above it, and every module can be imported alone."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import cpapi_fast

PACKAGE = Path(cpapi_fast.__path__[0])

#: The rows of the package, as in docs/architecture.md: a module imports from rows above its own, never from its own row
#: and never from one below. A folder is one entry; what it imports inside of itself is its own matter.
ROWS: tuple[frozenset[str], ...] = tuple(
    frozenset(row.split())
    for row in (
        "_version errors events kinds",
        "availability clock cookies fields hours numbers options redaction scan session signals stats tls urls",
        "answers decimals history keepalive loop marks pacing tls_options",
        "feed_options members rest topics",
        "gateway machine walk",
        "classifier",
        "batch",
        "sink text_slots",
        "backlog inbox last_values listener ticks tracker",
        "backfill conflation consumer handshake policies push",
        "connection delivery",
        "doctor feed outputs",
        "capture event_log quotes recorder",
        "notices reports",
        "collector progress",
        "simulator tail",
        "__init__ gateway_source",
        "collect_command doctor_command tail_command",
        "cli",
        "__main__",
    )
)
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}

#: The gateway simulator is no mirror of the client: this is all that the two share.
SIMULATOR_MAY_IMPORT = frozenset({"_version", "errors", "clock", "fields"})

# `from .x cimport y`, `from .x import y`, `from . import x`, `from cpapi_fast.x cimport y`, `cimport cpapi_fast.x`
_CYTHON_FROM = re.compile(r"^\s*from\s+(\.|cpapi_fast\.?)(\w*)\s+c?import\s+(.*)$", re.MULTILINE)
_CYTHON_PLAIN = re.compile(r"^\s*c?import\s+cpapi_fast\.(\w+)", re.MULTILINE)


def sources() -> dict[str, list[Path]]:
    """The source files of every entry of the table: `a.py`, `a.pyx` and `a.pxd`, or all files of a folder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".pyx", ".pxd"):
            found.setdefault(path.relative_to(PACKAGE).parts[0].split(".")[0], []).append(path)
    return found


def imported_by(path: Path) -> set[str]:
    """The entries of the table that a file imports, inside of functions and for type checkers too."""
    text = path.read_text(encoding="utf-8")
    depth = len(path.relative_to(PACKAGE).parts)
    names: set[str] = set()
    if path.suffix != ".py":
        # The text at the top may show its readers an import of theirs.
        text = re.sub(r'\A""".*?"""', "", text, flags=re.DOTALL)
        for _dot, module, what in _CYTHON_FROM.findall(text):
            names |= {module} if module else set(re.findall(r"\w+", what))
        return names | set(_CYTHON_PLAIN.findall(text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported = [alias.name.split(".") for alias in node.names]
            names |= {[*parts, "__init__"][1] for parts in imported if parts[0] == "cpapi_fast"}
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            if node.level == depth:
                names |= {parts[0]} if parts else {alias.name for alias in node.names}
            elif node.level == 0 and parts[:1] == ["cpapi_fast"]:
                names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    # `from . import __version__` asks the package itself.
    return {name if name in ROW_OF else "__init__" for name in names}


def test_the_table_is_complete():
    new = sources().keys() - ROW_OF.keys()
    assert new == set(), f"put {sorted(new)} into ROWS, each below everything that it imports"


def test_a_module_imports_only_from_rows_above_its_own():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}, which stands no higher"
        for entry, paths in sources().items()
        for path in paths
        for name in imported_by(path)
        if entry in ROW_OF and ROW_OF[name] >= ROW_OF[entry] and name != entry
    ]
    assert wrong == []


def test_imports_are_found_at_all():
    """The two ways of looking see what is known to be there."""
    assert {"classifier", "errors", "kinds"} <= imported_by(PACKAGE / "batch.pyx")
    assert {"batch"} <= imported_by(PACKAGE / "listener.pyx")
    assert {"errors"} <= imported_by(PACKAGE / "clock.py")
    assert {"batch", "listener", "topics"} <= imported_by(PACKAGE / "connection.py")


def test_the_simulator_shares_nothing_with_the_client():
    for path in sources().get("simulator", []):
        assert imported_by(path) <= SIMULATOR_MAY_IMPORT, path


def test_one_file_compiles_against_picows():
    users = [
        path.name
        for paths in sources().values()
        for path in paths
        if re.search(r"^\s*(from picows\S* cimport|cimport picows)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert users == ["listener.pyx"]


#: Imports the package and each module on top of it, each in a process of its own; prints what failed.
#: The package comes first whichever module is asked for, so it is imported once, before the processes part.
FORKING = """
import os, sys, traceback
import cpapi_fast
for module in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            __import__(module)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            print("in", module, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        print(module, "failed")
"""


def test_every_module_can_be_imported_alone():
    """In a fresh interpreter that takes warnings for errors: a picows of another layout warns, and loses frames."""
    modules = sorted(
        ".".join(("cpapi_fast", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for paths in sources().values()
        for path in paths
        if path.suffix in (".py", ".pyx") and path.name != "__main__.py"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def run(program: str, *arguments: str) -> str:
        command = [sys.executable, "-W", "error", "-c", program, *arguments]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return result.stdout + result.stderr + ("" if result.returncode == 0 else f"exit status {result.returncode}")

    assert len(modules) > 10
    if hasattr(os, "fork"):
        assert run(FORKING, *modules) == ""
        assert "ModuleNotFoundError" in run(FORKING, "cpapi_fast.absent")
    else:
        assert [failure for failure in (run(f"import {module}") for module in modules) if failure] == []
