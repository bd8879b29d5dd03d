"""No import cycles by construction: a module imports only modules that stand above it in docs/architecture.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.meta.layers import PACKAGE, imported_by, sources, table

ORDER = {name: number for number, name in enumerate(table())}

#: The simulator is a second reading of the protocol, not a mirror of the client: this is all that the two share. It
#: reads captures by the modules of `replay` that know files, not frames.
SIMULATOR_MAY_IMPORT = frozenset(
    {"_version", "console", "errors", "callbacks", "loop", "option_values", "clock", "protocol.fields", "new_file"}
    | {"replay.capture_file", "replay.recording"}
)


def test_the_table_is_complete():
    assert sources().keys() - ORDER.keys() == set(), "add a row to docs/architecture.md, below everything it imports"


def test_a_module_imports_only_modules_above_its_own():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}, which does not stand above it"
        for module, paths in sources().items()
        for path in paths
        for name in imported_by(path)
        if ORDER[name] >= ORDER[module]
    ]
    assert wrong == []


def test_a_folder_is_one_block_of_the_table():
    """So that the folders are in layers too, and so are the folders inside them."""
    folders = {name for name in ORDER if (PACKAGE / name.replace(".", "/")).is_dir()}
    for folder in folders:
        rows = [number for name, number in ORDER.items() if name == folder or name.startswith(f"{folder}.")]
        assert rows == list(range(rows[0], rows[0] + len(rows))), folder


def test_imports_are_found_at_all():
    """Both ways of reading imports find what is known to be there."""
    assert {"frames.classifier", "errors", "protocol.kinds"} <= imported_by(PACKAGE / "frames" / "frame.pyx")
    assert {"frames.batch"} <= imported_by(PACKAGE / "ws" / "listener.pyx")
    assert {"loop"} <= imported_by(PACKAGE / "clock.py")
    assert {"frames.batch", "ws.listener", "protocol.topics"} <= imported_by(PACKAGE / "ws" / "connection.py")
    assert {"doctor.login", "doctor.network"} <= imported_by(PACKAGE / "doctor" / "runner.py")
    assert {"feed.machine.actions"} <= imported_by(PACKAGE / "feed" / "machine" / "machine.py")


def test_the_simulator_shares_nothing_with_the_client():
    for module, paths in sources().items():
        if module.partition(".")[0] == "simulator":
            for path in paths:
                outside = {name for name in imported_by(path) if name.partition(".")[0] != "simulator"}
                assert outside <= SIMULATOR_MAY_IMPORT, path


def test_one_file_compiles_against_picows():
    users = [
        path.name
        for paths in sources().values()
        for path in paths
        if re.search(r"^\s*(from picows\S* cimport|cimport picows)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert users == ["listener.pyx"]


#: Imports the package and each module on top of it, each in a process of its own; prints what failed.
#: Every import of a module imports the package first, so it is imported once, before the process forks.
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
        "cpapi_fast" if module == "__init__" else f"cpapi_fast.{module}"
        for module, paths in sources().items()
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
