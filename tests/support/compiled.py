"""Compiles Cython sources of tests and examples outside the tree, against the installed package."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import cpapi_fast


def compile_in(folder: Path, *command: str) -> None:
    """Run `python *command` in `folder`."""
    environment = {**os.environ, "CFLAGS": f"{os.environ.get('CFLAGS', '')} -O1"}
    # Cython looks for .pxd files along sys.path, where an editable install is not.
    environment["PYTHONPATH"] = str(Path(cpapi_fast.__file__).parents[1])
    # A sanitizer's; a compiler is not to be watched.
    environment.pop("LD_PRELOAD", None)
    line = [sys.executable, *command]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def load(folder: Path, name: str) -> ModuleType:
    """The module that was compiled in `folder`."""
    path = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
